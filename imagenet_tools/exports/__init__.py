"""Exports: what one will hold, and how it is written whole or not at all."""
