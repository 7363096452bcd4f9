"""Ways to execute transactions on a state that may never be; one file each."""
