"""Proof of the bytes on the state they will meet."""
