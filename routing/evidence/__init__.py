"""Evidence about endpoints, read from latest.json: its types, and the sources that keep the last good content."""
