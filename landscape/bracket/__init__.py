"""A network's Lipschitz constant between what a pair attains and what is proved."""
