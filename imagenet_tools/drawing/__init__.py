"""A part of the graph drawn: as text, JSON, dot and SVG."""
