"""Order flow before its block: decoding, proof of the bytes, one loss-counted feed."""
