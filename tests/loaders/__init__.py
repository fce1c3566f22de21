"""Proofs by the training loaders themselves; run.py gives each group of them its environment."""
