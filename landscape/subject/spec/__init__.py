"""Spec strings: how networks and data are named on a command line."""
