"""Tasks of DM Control with three bins an actuator; `benchmarks.worlds.registry` alone uses it.

It needs the packages of the extra `control`, and is imported without them.
"""
