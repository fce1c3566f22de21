"""A selection of images: its words, the query they become, and the draws of splits and samples."""
