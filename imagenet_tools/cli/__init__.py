"""The command line: one module a command, named as the command."""
