"""Where training and evaluation imagery comes from."""
