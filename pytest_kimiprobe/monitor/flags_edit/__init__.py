"""Edits of flags.yaml that keep comments and untouched lines, and its lint."""
