"""Pure figure builders: same input, same figure; they show nothing and read nothing."""
