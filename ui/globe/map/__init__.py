"""The two linked maps and their colours."""
