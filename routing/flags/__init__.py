"""flags.yaml: the model, its validation, and the source that keeps the last good file."""
