"""The report of a finished sweep: results in, one HTML page and its twins out. Nothing here computes a statistic."""
