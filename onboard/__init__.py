"""Flight software: Sentinel-2 pixels in, a short ranked list of what changed out.

Nothing below this package imports torch, `ground` or `export`, opens a network connection, or reads a clock at import.
"""

__version__ = "0.1.0"
