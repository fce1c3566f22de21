"""The index: how it is made of sources, how it lies on disk, and how it is asked."""
