"""Relay plug-ins, one file each."""
