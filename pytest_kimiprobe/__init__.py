"""Probe, judge and record tool calling of the Kimi family."""
