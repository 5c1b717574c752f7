"""The algorithm FactoredAWR: settings, update, decisions, fairness, fine-tuning. Use it through `frl_algos`."""
