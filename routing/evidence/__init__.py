"""Evidence about endpoints (latest.json): the model, and the sources that keep the last good document."""
