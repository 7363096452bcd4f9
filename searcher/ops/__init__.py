"""The operator's side: configuration, commands, logs, and the place where everything is wired."""
