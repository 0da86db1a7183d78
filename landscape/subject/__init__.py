"""What is studied: networks, data, losses, checkpoints; attached without touching them."""
