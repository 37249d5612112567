"""A decoded product as the bytes of a Cloud-Optimised GeoTIFF: original DN, band names, offset and scale."""

from __future__ import annotations

import json

import rasterio
from rasterio.io import MemoryFile

from onboard.downlink.product import Product, transform_of
from onboard.sense.acquisition import NODATA_DN


def to_cog(product: Product) -> bytes:
    """The file, lossless; reflectance = DN * scale + offset, as its tags say.

    Raises:
        RasterioError, ValueError: the georeference cannot be written.
    """
    count, height, width = product.dn.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="COG", width=width, height=height, count=count, dtype="uint16", nodata=NODATA_DN,
            crs=product.grid.crs or None, transform=rasterio.Affine(*transform_of(product)), compress="deflate",
            predictor=2,
        ) as dataset:  # fmt: skip
            dataset.write(product.dn)
            dataset.descriptions = tuple(band.name for band in product.bands)
            dataset.scales = tuple(1.0 / band.quantification for band in product.bands)
            dataset.offsets = tuple(band.offset / band.quantification for band in product.bands)
            if product.restored is not None:
                dataset.update_tags(ONBOARD_RESTORED=json.dumps(product.restored, sort_keys=True))
            dataset.update_tags(
                PRODUCT_ID=product.product_id, TIFFTAG_DATETIME=f"{product.sensing_time:%Y:%m:%d %H:%M:%S}"
            )
        return bytes(memory.getbuffer())
