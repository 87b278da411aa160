"""Sends the probes: planning, queues, pacing, budget, and how late the event loop was."""
