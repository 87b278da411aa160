"""Options of a run, and the source of its answers."""
