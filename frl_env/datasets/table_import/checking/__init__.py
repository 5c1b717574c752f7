"""Every value read and every week looked at before anything is written, and what was found. For the import."""
