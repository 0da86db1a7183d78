"""The coordinate check: how activations and what training does to them scale with the width."""
