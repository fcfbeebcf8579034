"""Architectures compared by what Sec 4.1 chose one by: first filters, their frequencies, grids in layer 2."""
