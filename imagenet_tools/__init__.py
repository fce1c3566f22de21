"""Index ImageNet into Parquet, ask it in SQL over the WordNet graph, and export subsets to training loaders."""

__version__ = "0.1.0"
