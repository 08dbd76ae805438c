"""Labels from files: read, sampled onto the rows of a table, cross-validated, and mapped wall to wall."""
