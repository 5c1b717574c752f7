"""The torch modules that FactoredAWR is made of, and their losses. For `frl_algos.factored_awr`."""
