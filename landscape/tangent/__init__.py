"""The empirical neural tangent kernel from the factors of its layers, without the Jacobian."""
