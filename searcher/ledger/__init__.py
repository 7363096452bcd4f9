"""What happened: every opportunity, decision, submission and outcome, durably."""
