"""Trained policies in and out of files. For users through `frl_algos`, and for `frl_algos.policy_reports`."""
