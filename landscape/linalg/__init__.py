"""Matrices known only by their products: operators, Krylov methods, estimators."""
