"""The loop on the simulator: lists are made, members respond, and the next policy learns from what was done."""
