"""The verbs of the command line, one per file, discovered by `core.cli.entry`."""
