"""Class lists, label spaces and image lists, as they were published; what a file of them is, and maps between them."""
