"""Sparse subnetworks: which weights may go, their scores, masks, and the paths that are left."""
