"""Scores of a model's predictions: reading them, finding their order and numbering, and the metrics."""
