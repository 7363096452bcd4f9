"""One chain's nodes: requests, streams, block assembly, reorganisations, fees, Anvil's launcher."""
