"""Superclasses: classes joined by cuts of the graph, and the file that says how."""
