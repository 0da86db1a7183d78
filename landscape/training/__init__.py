"""Training, as much of it as diagnostics and examples need."""
