"""Lottery tickets: masks scored, found by training, judged against controls, compared."""
