"""Strict JSON and YAML, files checked against a JSON Schema, and safe file reading."""
