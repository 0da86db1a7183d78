"""Curves and planes through weight space, and the verdict on whether they stay low."""
