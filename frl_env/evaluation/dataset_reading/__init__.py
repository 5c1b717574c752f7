"""Logged decisions and members as arrays, read from Minari datasets; a person is the unit. For all that is valued."""
