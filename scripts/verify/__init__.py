"""The independent proof of a demo run: its own maths, its own reading of the chain."""
