"""Training without exporting: images of an index as a data set that any framework's loader reads."""
