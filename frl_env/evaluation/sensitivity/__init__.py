"""What an estimate hangs on that the data can't settle, and where its conclusion turns. For analysts and reports."""
