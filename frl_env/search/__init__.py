"""Searches for good policies on the simulator itself, and bounds of what any can reach; they know the truth.

For references, which policies are compared with. Nothing that learns from data may use them.
"""
