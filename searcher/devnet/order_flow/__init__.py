"""Other people on a laboratory chain: users, the oracle, demand for block space, a rival."""
