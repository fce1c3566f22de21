"""What readers of images share: the facts of an image, the rows they become, what names and numbers say of them."""
