"""Captured exchanges: undelivered answers of production, kept for the monitor, and what is removed from recordings."""
