"""Curvature of a subject's loss as linear operators."""
