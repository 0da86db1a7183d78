"""Checkpoint files: told by content, read without running anything, matched by name."""
