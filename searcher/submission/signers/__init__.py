"""Signer plug-ins, one file each; a key never leaves its signer."""
