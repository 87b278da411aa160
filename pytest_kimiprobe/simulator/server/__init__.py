"""The HTTP server: its connections, the handlers of its paths, and the thread or process that it runs in."""
