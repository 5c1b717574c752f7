"""Reports on a trained policy, for people: what it would do and be worth, and how fairly. Nothing here uses it."""
