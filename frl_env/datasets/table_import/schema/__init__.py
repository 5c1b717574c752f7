"""The columns that a table of members has, their names in yours, and what can be wrong with them. For imports."""
