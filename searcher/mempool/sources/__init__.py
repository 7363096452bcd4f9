"""Where pending transactions come from; one file per source."""
