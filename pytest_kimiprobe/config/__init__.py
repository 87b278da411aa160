"""Options of a run, and where its answers come from."""
