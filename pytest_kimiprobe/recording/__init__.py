"""What a run sent and received: taken down without keys, kept as vcrpy cassettes, played and judged again."""
