"""Tests of selections: their words, steps, splits, recipes and locks."""
