"""What providers say of accounts and upstreams. Used by the monitor only."""
