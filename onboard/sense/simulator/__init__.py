"""The seeded world behind `sim:`: everything is a function of world pixel coordinates, so any window can be made alone.

`noise` and `spectra` are the materials, `landscape` the ground, `season`, `atmosphere` and `sensor` what differs
between two looks at it, `disasters` what is to be found, `scene` one pass put together. numpy only.
"""
