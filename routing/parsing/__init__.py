"""Strict JSON and YAML, files checked against a JSON Schema, safe file reading, message texts and call ids."""
