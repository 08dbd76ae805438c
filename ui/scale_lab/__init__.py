"""The rows and sections of the Scale Lab."""
