"""Figure builders: pure functions that return a figure or a picture."""
