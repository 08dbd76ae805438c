"""Load weights files of unknown origin: open them safely, recognise them by their keys, and build the
network."""
