"""Logged data as learners see it: aligned flat arrays behind d3rlpy's replay buffer. Anything above may use it."""
