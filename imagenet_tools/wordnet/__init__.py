"""WordNet 3.0: wnids, the graph of its nouns, synsets, depths and similarity, and NLTK."""
