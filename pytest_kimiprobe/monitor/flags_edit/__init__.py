"""Edits flags.yaml so that comments and untouched lines stay, and checks it for mistakes (lint)."""
