"""The rules of networks, one file each."""
