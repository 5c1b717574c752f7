"""Files that are written whole or not at all, checked before work begins, and safe to open; for whoever writes any."""
