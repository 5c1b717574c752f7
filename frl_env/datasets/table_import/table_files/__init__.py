"""Tables on disk as streams of batches: files and folders, their formats and delimiters. For imports and lists."""
