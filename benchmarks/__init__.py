"""Measurements of the real command, with budgets that fail: `python -m benchmarks NAME`. One file per benchmark."""
