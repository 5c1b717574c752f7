"""The algorithms that `--algo` knows, their settings, and how they are trained. For every room of `benchmarks`."""
