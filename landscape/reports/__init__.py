"""Answers bound together: they are rendered, never computed."""
