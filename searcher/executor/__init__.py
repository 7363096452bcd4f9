"""Our contract: a plan's calldata, the artifact, deployment."""
