"""From an answer to a verdict: what a case expects, and pairs of plain and streamed answers."""
