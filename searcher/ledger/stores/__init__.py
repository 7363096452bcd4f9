"""Store plug-ins, one file each."""
