"""Data sets for training over the original bytes of an index, for the loader of any framework."""
