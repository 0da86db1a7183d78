"""Lottery tickets: found by training and pruning in turn, and judged beside their controls."""
