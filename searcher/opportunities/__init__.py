"""Finding what pays: cycles searched in floats, confirmed in integers, ranked, made compatible."""
