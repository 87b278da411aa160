"""The HTTP server: connections, the table of paths, and the thread or process that runs them."""
