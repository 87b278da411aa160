"""Clients of provider APIs that report account balances and upstreams. Routing does not use them."""
