"""The providers' protocols: checks of a request, and the rendered answer."""
