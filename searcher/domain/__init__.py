"""The words of the house: units, events, plans, verdicts, outcomes, errors. No I/O."""
