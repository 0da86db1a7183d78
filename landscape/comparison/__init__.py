"""Documents held against one another, and against rules."""
