"""Provider APIs for account balances and upstreams. Used only by the monitor."""
