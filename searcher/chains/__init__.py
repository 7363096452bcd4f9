"""One chain's nodes: requests, streams, block assembly, fees."""
