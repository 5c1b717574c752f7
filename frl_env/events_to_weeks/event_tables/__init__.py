"""What is read: the spec, its tables, their columns and words, turned into the contract. For the conversion."""
