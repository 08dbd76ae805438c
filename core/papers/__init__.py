"""The three papers' claims at small scale: two arms trained alike, then scored on the same images."""
