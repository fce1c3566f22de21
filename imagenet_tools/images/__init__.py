"""Facts of images, the rows of the table images, and what names and class numbers of images mean."""
