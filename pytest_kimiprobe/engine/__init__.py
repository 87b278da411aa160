"""How probes are sent: what is planned, how many at once, how fast, against which budget, and how late we were."""
