"""What a result depends on, and how results become the numbers in pages. For every room of `benchmarks`."""
