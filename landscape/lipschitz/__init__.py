"""Lipschitz constants in ℓ₂: norms of layers, bounds over a network's graph, attained slopes."""
