"""Ground software: datasets, networks, training, evaluation, the receiving station.

It may import `onboard` (one wire format, one tile grid), never the reverse.
"""
