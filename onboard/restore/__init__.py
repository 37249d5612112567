"""Sharper and cleaner pixels, said to be so. Reads DN, gives DN; knows nothing of passes, cells or the queue.

Every output pixel is a whole-number function of the input pixels within the model's reach: the anchor and the network
count in integers, and what is left in float is one multiplication and one sum per pixel in a fixed order. So a tile
with its halo gives the same DN as the whole image, on any processor; `enhance.py` relies on that.
"""
