"""The parts of the Scale Lab."""
