"""Curves and searches as numba kernels, and their references in exact Python integers."""
