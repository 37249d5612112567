"""Pixels in: sources, the grid of cells, valid mask, radiometry. Reads files; writes none."""
