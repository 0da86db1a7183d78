"""What a slice of the loss surface is made of: directions, evaluation, curvature, the answer."""
