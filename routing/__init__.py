"""Route Kimi requests to the cheapest endpoint that works today."""

__version__ = "0.1.0"
