"""Several networks side by side: what each is like, and how alike they are."""
