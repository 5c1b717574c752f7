"""Pages that are written or run by a command: the leaderboard, the tutorial. Nothing imports them."""
