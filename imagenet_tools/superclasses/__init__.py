"""Superclasses of classes, trees with one hypernym for each synset, and drawings of the graph."""
