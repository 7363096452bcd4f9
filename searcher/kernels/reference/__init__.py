"""Curves in exact Python integers: what the contracts compute, to the wei."""
