"""One interface to any trained algorithm, ours, stock d3rlpy's or a stranger's. For whoever asks a policy to decide."""
