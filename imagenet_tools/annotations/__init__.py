"""What readers of annotations share: boxes, the XML they stand in, and lists of images."""
