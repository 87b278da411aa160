"""Recording and replay: exchanges of a run without keys, stored as vcrpy cassettes, and judged again offline."""
