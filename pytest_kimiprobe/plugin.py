"""Hooks only; nothing heavy is imported unless `--kimiprobe` is given."""
