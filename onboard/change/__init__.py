"""What is remembered of a cell and how a new look is compared with it.

Pure arrays: `record`, `pair`, `registration`, `rule`, `score`, `cloud`, `heads`, `search`. The others bring pixels and
the memory to them: `look`, `prescan`, `classify`, `examples`, `example`, `remembered`, `similar`.
"""
