"""Policies and worlds whose true values are known, for studies of estimators."""
