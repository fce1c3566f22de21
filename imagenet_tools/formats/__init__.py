"""One module a format, named as the format: its reader beside its writer."""
