"""The configuration: TOML read once into frozen settings, with every fault told at once."""
