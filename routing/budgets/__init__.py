"""Limits on what requests may cost."""
