"""The simulated world: members, weeks of care, what is seen of them, and the team that decides; pure functions.

For environments, rollouts and searches. Parameters come from outside; nothing here reads a file.
"""
