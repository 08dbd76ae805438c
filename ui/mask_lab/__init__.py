"""The parts of the Mask Lab."""
