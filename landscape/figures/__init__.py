"""Arrays in, matplotlib artists out: the only place that knows matplotlib."""
