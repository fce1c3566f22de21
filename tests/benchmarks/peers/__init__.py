"""What others do in a benchmark, as their users would; each function prepares, and gives the work that is timed.

Each runs in an environment of its own and imports what it measures alone.
"""
