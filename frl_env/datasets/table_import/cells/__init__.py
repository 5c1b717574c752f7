"""What a cell says: numbers, dates, weeks and words of whatever type. For all that reads tables."""
