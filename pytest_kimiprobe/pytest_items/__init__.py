"""The part of the plugin that works with pytest's items and sessions."""
