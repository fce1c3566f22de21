"""Boxes, box XML and lists of images, for the readers of annotations."""
