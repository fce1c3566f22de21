"""Building an index: sources are found, cut into units, scanned into parts, and merged."""
