"""Bid, nonce, signature, relays, inclusion: how a plan leaves and what became of it."""
