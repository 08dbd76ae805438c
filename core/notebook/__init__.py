"""Results in notebooks: figures of them, and widgets that answer to the mouse."""
