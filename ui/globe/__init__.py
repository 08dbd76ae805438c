"""The Globe page: its state, the data of the open table, two linked maps, and one module per panel."""
