"""Reflectance of pure covers in the ten s2-10 bands: rounded values as published libraries and L2A scenes show them.

Green crop, soils and roofs follow the shape of ECOSTRESS/ASTER library spectra under the MSI band responses; water,
burnt ground and conifers those of typical L2A pixels. They are plausible, not measured: see each cover's texture and
mixing in `landscape` and `season`.
"""

from __future__ import annotations

import numpy as np

from onboard.sense.bands import BAND_SETS
from onboard.sense.simulator.noise import F64

BANDS = BAND_SETS["s2-10"]
WAVELENGTH_UM = np.array([0.492, 0.560, 0.665, 0.704, 0.741, 0.783, 0.833, 0.865, 1.614, 2.202])

#             B02   B03   B04   B05   B06   B07   B08   B8A   B11   B12
_TABLE = """
crop         .027  .058  .030  .088  .290  .390  .420  .440  .190  .088
rape_flower  .045  .120  .090  .150  .320  .390  .420  .440  .230  .120
dry_crop     .062  .092  .128  .168  .210  .240  .268  .290  .320  .220
stubble      .082  .115  .155  .185  .208  .228  .252  .272  .350  .280
loam         .085  .112  .150  .178  .198  .215  .235  .255  .325  .295
red_soil     .058  .085  .155  .195  .215  .235  .255  .275  .335  .275
dark_soil    .045  .060  .080  .095  .110  .122  .136  .150  .205  .178
pale_soil    .135  .180  .235  .262  .282  .300  .320  .340  .420  .380
conifer      .018  .031  .019  .052  .138  .172  .188  .200  .088  .040
deciduous    .022  .046  .023  .074  .255  .335  .362  .380  .170  .072
leaf_off     .042  .052  .062  .088  .128  .150  .168  .188  .195  .125
autumn       .034  .062  .072  .118  .215  .262  .290  .305  .200  .102
shrub        .034  .054  .050  .086  .158  .190  .212  .230  .205  .122
grass        .036  .070  .042  .106  .280  .360  .388  .408  .228  .116
dry_grass    .075  .108  .148  .182  .212  .238  .262  .282  .340  .250
lake         .030  .034  .019  .015  .011  .010  .009  .008  .005  .003
river        .052  .072  .058  .052  .035  .034  .032  .024  .009  .006
paddy        .050  .066  .062  .064  .062  .064  .066  .060  .030  .020
muddy_water  .082  .112  .128  .128  .088  .086  .080  .058  .020  .013
tile_roof    .078  .100  .165  .205  .232  .252  .272  .290  .320  .285
grey_roof    .120  .132  .142  .152  .162  .170  .180  .190  .200  .182
white_roof   .290  .310  .325  .335  .345  .352  .362  .370  .340  .295
dark_roof    .060  .065  .071  .077  .083  .088  .094  .102  .115  .104
asphalt      .082  .092  .102  .110  .118  .124  .132  .142  .170  .155
gravel       .135  .165  .195  .212  .225  .238  .252  .265  .315  .285
rock         .118  .142  .165  .182  .194  .205  .222  .235  .285  .255
burnt        .030  .036  .044  .052  .062  .069  .077  .087  .150  .160
ash          .075  .085  .096  .105  .112  .117  .124  .130  .170  .175
debris       .098  .116  .138  .155  .172  .184  .202  .216  .258  .224
tarp         .160  .140  .120  .130  .180  .220  .250  .260  .220  .180
cloud        .620  .610  .620  .630  .640  .645  .650  .655  .440  .320
"""

SPECTRA: dict[str, F64] = {
    words[0]: np.array([float(word) for word in words[1:]])
    for words in (line.split() for line in _TABLE.splitlines() if line)
}
"""Name -> float64 (10,), reflectance 0..1."""
