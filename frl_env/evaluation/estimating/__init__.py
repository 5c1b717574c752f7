"""Estimators of a policy value from arrays, and their intervals over people. For all that values policies."""
