"""May we? Limits, reservations and the state of the system."""
