"""One file per verb, found by discovery."""
