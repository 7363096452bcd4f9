"""One way of earning a file: what it looks at, and which of the cycles it finds it takes."""
