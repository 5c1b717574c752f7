"""Many runs, kept whole or not at all, and summed up in a scorecard. For `run.py`, `tune.py`, studies and pages."""
