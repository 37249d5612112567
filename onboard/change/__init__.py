"""What is remembered of a cell and how a new look is compared with it. Arrays in, arrays out; no I/O."""
