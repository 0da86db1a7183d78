"""What a tangent kernel tells: spectrum, alignment, regression, dynamics, change."""
