"""Superclasses of classes, trees with one hypernym each, and drawings of the graph."""

from imagenet_tools.superclasses import exclusive_tree as exclusive_tree_file
from imagenet_tools.superclasses import superclasses as superclass_file

# Earlier names of the modules that read and write the files.
__all__ = ["exclusive_tree_file", "superclass_file"]
