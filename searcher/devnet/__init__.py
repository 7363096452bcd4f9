"""The laboratory: the protocols' real bytecode on local chains, a builder and relay, order flow."""
