"""What training does to a network: norms, moments, noise."""
