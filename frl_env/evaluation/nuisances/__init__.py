"""What estimators need estimated first: propensities, ratios of densities, regressions. For estimators and bounds."""
