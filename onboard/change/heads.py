"""Few-shot heads: "more like these, not these" as one linear score on what a record remembers. Pure arrays.

A head is linear discriminant analysis (Fisher 1936) whose covariance comes from *unlabelled* cells of the memory, which
are many, and not from the handful of labelled ones (Hariharan et al. 2012): w = C^-1 (m+ - m-). It takes milliseconds.

Features of a look at a cell, from its record and those of clear looks before it:

    latent          z, as the network gave it: how the cell looks
    latent-change   z and z - z_past
    evidence        of each band: the mean, its change, and how unevenly it changed over the cell. The latent of a scene
                    that is standardised says little about a class of event; which bands rose and fell says most.

Past looks are many: the one whose band means are nearest counts, as in the score, so that a cloud or a harvest then is
no event now.

A head's file (little-endian): magic `OBHD`, u1 version, u1 features, u1 length of the name, u1 0, u2 weights, f4 scale,
f4 bias, 32 bytes of the artefact's SHA-256, name (UTF-8), i1 weights, then the SHA-256 of all that: a checksum, no
proof of origin. A signature over the whole file goes around it, with the keys of "Export and bundles".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import COARSE, FINE, Records, is_clear, unpack_valid
from onboard.errors import EXIT_BUNDLE, OnboardError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FEATURES = ("evidence", "latent", "latent-change")
SHRINKAGE = {"evidence": 0.03, "latent": 1.0, "latent-change": 1.0}
"""Towards a round covariance, 0..1. In 256 latents the shape of the usual covariance did more harm than good."""
PRIOR_NEGATIVES = 10.0
"""The usual cell counts like so many negatives: a few examples of "not these" do not describe everything else."""
TEMPERATURE = 8.0
"""Divides the log-odds of every head alike: few examples make them far too sure. Classes stay comparable."""
MIN_USUAL = 32
MAX_NAME_BYTES = 64
_HEAD = struct.Struct("<4s4BHff32s")
_MAGIC, _VERSION, _DIGEST = b"OBHD", 1, 32


class HeadError(OnboardError):
    """The head is damaged, of another format or artefact, or cannot be trained from what is there."""

    exit_code = EXIT_BUNDLE
    kind = "head"


@dataclass(frozen=True)
class Head:
    """A trained head: score = scale * weights . features + bias.

    Attributes:
        artefact: SHA-256 of the artefact whose records it reads, 64 hex digits.
        features: one of `FEATURES`.
        weights: int8 (F,).
    """

    name: str
    artefact: str
    features: str
    weights: NDArray[np.int8]
    scale: float
    bias: float

    def apply(self, now: Records, past: Sequence[Records], artefact: str) -> F32:
        """How much each look is of this class.

        Args:
            now: records (N,) of an artefact.
            past: records (N,) of earlier looks at the same cells, zeros where there is none.
            artefact: its SHA-256.

        Returns:
            float32 (N,), 0..1: above 0.5 where it is more like the positive examples than like the negative ones; nan
            where the look, or all of the past where that is needed, is not clear. It ranks; it is no probability.

        Raises:
            HeadError: the head is of another artefact, or of other bands.
        """
        if artefact != self.artefact:
            raise HeadError(f"head {self.name}: made for artefact {self.artefact[:12]}, this is {artefact[:12]}")
        x, known = extract(self.features, now, past)
        if x.shape[1] != len(self.weights):
            raise HeadError(f"head {self.name}: {len(self.weights)} weights, the records give {x.shape[1]} features")
        odds = x @ (self.weights.astype(np.float64) * self.scale) + self.bias
        score = 1.0 / (1.0 + np.exp(-np.clip(odds, -60.0, 60.0)))
        return np.where(known, score, np.nan).astype(np.float32)

    def to_bytes(self) -> bytes:
        """The file; the same head gives the same bytes."""
        name = self.name.encode()
        numbers = (_VERSION, FEATURES.index(self.features), len(name), 0, len(self.weights), self.scale, self.bias)
        body = _HEAD.pack(_MAGIC, *numbers, bytes.fromhex(self.artefact)) + name + self.weights.tobytes()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "head") -> Head:
        """Inverse of `to_bytes`; HeadError when damaged or of another format."""
        if len(data) < _HEAD.size + _DIGEST or data[:4] != _MAGIC:
            raise HeadError(f"{where}: not a head")
        body = data[:-_DIGEST]
        if hashlib.sha256(body).digest() != data[-_DIGEST:]:
            raise HeadError(f"{where}: damaged: checksum differs")
        _, version, kind, length, _, count, scale, bias, artefact = _HEAD.unpack_from(body)
        if version != _VERSION or kind >= len(FEATURES) or len(body) != _HEAD.size + length + count:
            raise HeadError(f"{where}: head of version {version}, this software reads {_VERSION}")
        name, weights = body[_HEAD.size : _HEAD.size + length], body[_HEAD.size + length :]
        return cls(name.decode(), artefact.hex(), FEATURES[kind], np.frombuffer(weights, np.int8), scale, bias)


def train(name: str, artefact: str, kind: str, positive: F64, negative: F64, usual: F64) -> Head:
    """Fit a head.

    Args:
        name: of the class, 1..64 bytes.
        artefact: SHA-256 that the features come from.
        kind: one of `FEATURES`.
        positive, negative: features (P, F), (N, F) of labelled looks; N may be 0.
        usual: features (U, F) of looks as they come, U >= 32.

    Raises:
        HeadError: no positive, too few usual ones, or the name is too long.
    """
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES or kind not in FEATURES:
        raise HeadError(f"head {name!r}: a name of 1..{MAX_NAME_BYTES} bytes and features of {', '.join(FEATURES)}")
    if len(positive) == 0 or len(usual) < MIN_USUAL:
        counts = f"{len(positive)} positive and {len(usual)} usual looks"
        raise HeadError(f"head {name}: {counts}; needs at least 1 and {MIN_USUAL}")
    shrink, centre = SHRINKAGE[kind], usual.mean(axis=0)
    covariance = np.cov(usual.T)
    round_one = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    covariance = (1 - shrink) * covariance + shrink * round_one
    plus = positive.mean(axis=0)
    minus = (negative.sum(axis=0) + PRIOR_NEGATIVES * centre) / (len(negative) + PRIOR_NEGATIVES)
    weights = np.linalg.solve(covariance, plus - minus)
    distance = float(weights @ (plus - minus))  # squared Mahalanobis
    if not distance > 0:
        raise HeadError(f"head {name}: the positive examples are like the others in everything the records hold")
    weights /= TEMPERATURE
    # the scale as the file holds it, so that a head scores alike before and after it is written
    scale = float(np.float32(np.abs(weights).max() / 127))
    stored = np.clip(np.rint(weights / scale), -127, 127).astype(np.int8)
    bias = float(np.float32(-(stored.astype(np.float64) * scale) @ (plus + minus) / 2))
    return Head(name, artefact, kind, stored, scale, bias)


def extract(kind: str, now: Records, past: Sequence[Records]) -> tuple[F64, NDArray[np.bool_]]:
    """Features float64 (N, F) of looks (N,), and which of them are known, bool (N,)."""
    known = is_clear(now)
    if kind == "latent":
        return now["latent"].astype(np.float64), known
    before, seen = nearest_past(now, past)
    if kind == "latent-change":
        z = now["latent"].astype(np.float64)
        return np.concatenate([z, z - before["latent"]], axis=1), known & seen
    parts: list[F64] = []
    valid, both = unpack_valid(now["valid"]), unpack_valid(now["valid"] & before["valid"])
    for field in ("fine", "coarse"):
        values = now[field].astype(np.float64)  # (N, bands, sub-cells)
        change = values - before[field]
        share, common = _shares(valid, field), _shares(both, field)
        mean, moved = _mean(values, share), _mean(change, common)
        parts += [mean, moved, np.sqrt(_mean((change - moved[:, :, None]) ** 2, common))]
    return np.concatenate(parts, axis=1), known & seen


def nearest_past(now: Records, past: Sequence[Records]) -> tuple[Records, NDArray[np.bool_]]:
    """Of the clear earlier looks at each cell the one nearest in its band means, (N,), and where there is any."""
    best = np.full(len(now), np.inf)
    chosen = np.zeros_like(now)
    mine = _band_means(now)
    for records in past:
        distance = ((_band_means(records) - mine) ** 2).sum(axis=1)
        distance[~is_clear(records)] = np.inf
        closer = distance < best
        best[closer], chosen[closer] = distance[closer], records[closer]
    return chosen, np.isfinite(best)


def _band_means(records: Records) -> F64:
    """(N, bands) over valid sub-cells."""
    valid = unpack_valid(records["valid"])
    fields = ("fine", "coarse")
    return np.concatenate([_mean(records[name].astype(np.float64), _shares(valid, name)) for name in fields], axis=1)


def _shares(valid: NDArray[np.bool_], field: str) -> F64:
    """Weights (N, sub-cells) of a field's sub-cells from the fine ones that are valid, (N, 64)."""
    if field == "fine":
        return valid.astype(np.float64)
    step = FINE // COARSE
    grid = valid.reshape(-1, COARSE, step, COARSE, step)
    return np.asarray(grid.mean(axis=(2, 4)).reshape(len(valid), COARSE * COARSE))


def _mean(values: F64, weights: F64) -> F64:
    """Weighted mean over sub-cells: (N, bands, S), (N, S) -> (N, bands); 0 where nothing is valid."""
    total = np.einsum("nbs,ns->nb", values, weights)
    return np.asarray(total / np.maximum(weights.sum(axis=1), 1e-9)[:, None])
