"""Building a laboratory chain: each protocol in its own file, `chain` puts them together."""
