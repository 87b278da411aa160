"""One module for each form in which a tool call can appear in a text."""
