"""flags.yaml: its types, its validation, and the source that keeps the last good content in use."""
