"""Questions about the learner and the estimators, one command each. Nothing imports a study but its own kind."""
