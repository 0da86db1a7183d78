"""Figures as files and as text."""

from __future__ import annotations
