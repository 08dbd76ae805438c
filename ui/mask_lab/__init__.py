"""The sections and pictures of the Mask Lab."""
