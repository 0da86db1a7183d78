"""Permutations of a network's units: read from its graph, proved, and matched between networks."""
