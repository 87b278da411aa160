"""What knows pytest's items and sessions."""
