"""Coverage, events and contacts from claims, encounters and logs, put into weeks. For the conversion."""
