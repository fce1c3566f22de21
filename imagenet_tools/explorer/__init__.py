"""A local website of an index: synsets, images, SQL, subsets and predictions, for one user on one machine."""
