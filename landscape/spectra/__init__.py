"""What a spectrum means: stability, outliers, heterogeneity, subspaces, kind of critical point."""
