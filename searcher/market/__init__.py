"""What a chain's pools hold, exactly, kept from logs."""
