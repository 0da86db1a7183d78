"""Statistics of a training run, recorded while it runs and read afterwards."""
