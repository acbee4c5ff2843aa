"""Pages that are written to a file and need nothing else: no script, no address, no fonts."""
