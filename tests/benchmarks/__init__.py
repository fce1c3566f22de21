"""What is measured, and the data that it is measured on. Nothing here is a test."""
