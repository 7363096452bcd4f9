"""One protocol a file: how its pools are found, read, kept and quoted."""
