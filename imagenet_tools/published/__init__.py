"""What was published of ImageNet: its releases and archives, with their counts, sizes and sums."""
