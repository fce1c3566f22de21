"""Files that appear whole or not at all, links, ranges of bytes, and work in other processes."""
