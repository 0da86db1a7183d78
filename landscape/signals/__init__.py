"""What training does to a network: norms and steps."""
