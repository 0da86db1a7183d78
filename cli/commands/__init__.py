"""Commands written by hand: they ask nothing of a subject, or bind many answers."""
