"""Atomic output files, links, byte ranges of sources, and worker processes."""
