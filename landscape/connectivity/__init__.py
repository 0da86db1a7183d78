"""What a verdict on mode connectivity is made of: paths judged, pairs, components."""
