"""Behaviour of the simulated providers: their models and prices, their error answers, and what each persona changes."""
