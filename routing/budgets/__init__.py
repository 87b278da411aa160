"""What requests may cost."""
