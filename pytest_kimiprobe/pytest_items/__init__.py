"""Everything that knows pytest items and sessions."""
