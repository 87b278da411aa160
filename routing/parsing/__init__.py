"""Reading of files that other programs write."""
