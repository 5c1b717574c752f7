"""Which critic to follow: candidates compete on people they were not estimated from. For preparing."""
