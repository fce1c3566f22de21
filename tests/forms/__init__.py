"""Source forms, each written as its publisher writes it, from the images of the sample: no line of ours writes them."""
