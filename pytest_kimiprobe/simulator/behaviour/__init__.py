"""How the simulated providers behave: what they serve, how they refuse, and what a persona changes."""
