"""The parts of the Train page: training runs and the three papers' claims."""
