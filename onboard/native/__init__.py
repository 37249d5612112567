"""The few loops that run over every pixel and every record, in C, for machines that have them compiled.

`library.py` finds the compiled kernels, the other files hand arrays to them. Each kernel has its NumPy twin beside the
caller, which runs where there is none (no compiler at install time, another processor, `ONBOARD_KERNELS=off`) and gives
the same bits: what is remembered and scored never depends on which one ran. No file here holds a rule of its own.
"""
