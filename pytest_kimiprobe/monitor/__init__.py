"""The monitor: from results to decisions, pull requests, alerts and the command line."""
