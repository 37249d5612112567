"""The commands: one file each. Only here are errors logged, signals caught and exit codes returned."""

import os

# Before numpy is imported: its products are small, and a second BLAS thread only spins between them (a quarter of the
# processor time of a run).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
