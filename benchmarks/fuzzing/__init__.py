"""Mutants of everything that the commands read, and a judge of what the commands do with them."""
