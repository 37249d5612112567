"""The rule of a score and its constants, as a bundle carries them. None of them was fitted to labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from onboard.config import SCORE_RULES
from onboard.errors import BundleError


@dataclass(frozen=True)
class ScoreRule:
    """How looks are compared.

    Attributes:
        rule: "cosine" or "euclidean" distance of latents (RaVAEn's own scores), or "surprise" (see `pair`).
        ridge: regularisation of the linear prediction of one pass from the other, in variances of the input.
        cell_mean: share of a cell's mean residual that is taken off it: change within a cell counts more than a shift
            of the whole cell, which crops and haze make as well.
        top_fine: of the 64 fine sub-cells this many of the greatest residuals are averaged: small changes count.
        top_coarse: likewise of the 16 coarse sub-cells for the loss of vegetation.
        loss: weight of the loss of vegetation where the scene shows more loss than gain.
        loss_scale, loss_power: the excess of loss over gain (squared log ratios) at which that weight is half, and how
            steeply it falls below.
        water, water_scale, top_water: likewise for the gain of water.
        rarity: how much less a loss counts where the past spectrum itself is unusual in its scene (0: fully).
        shrink: added to the variance of each band when a spectrum's rarity is judged.
        latent: weight of the distance of latents.
        event: weight of the log odds of an event (`event`), where the scene shows more of them than with both passes
            exchanged.
        event_floor: log odds from which they count.
        event_scale: excess (squared log odds above the floor, mean over cells) at which that weight is half.
        top_event: of the 64 fine sub-cells this many of the greatest log odds are averaged.
        softness: t of the soft minimum over history, in units of the score (see `score`).
        prior: share of cells that is expected to have changed; what the probability is declared under.
        calibration: (a, b) of probability = sigmoid(logit(prior) + a + b s) of a score s (`pair.Comparison.score`),
            fitted on simulation; strictly rising, so that no ranking is lost. The distances of latents are not
            calibrated.
    """

    rule: str = "surprise"
    ridge: float = 0.01
    cell_mean: float = 0.5
    top_fine: int = 8
    top_coarse: int = 5
    loss: float = 80.0
    loss_scale: float = 0.02
    loss_power: float = 2.0
    water: float = 240.0
    water_scale: float = 0.01
    top_water: int = 3
    rarity: float = 0.1
    shrink: float = 0.05
    latent: float = 0.1
    event: float = 1.0
    event_floor: float = -2.0
    event_scale: float = 1.0
    top_event: int = 4
    softness: float = 2.0
    prior: float = 0.02
    calibration: tuple[float, float] = (-6.347, 1.468)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ScoreRule:
        """From a bundle's manifest.

        Raises:
            BundleError: a rule or constant that this software does not know.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(raw) - known)
        if unknown:
            raise BundleError(f"score: {', '.join(unknown)} not known to this software")
        try:
            made = cls(**{key: _same_kind(getattr(cls, key), value) for key, value in raw.items()})
        except (TypeError, ValueError) as error:
            raise BundleError(f"score: a constant is not valid ({error})") from error
        if made.rule not in SCORE_RULES:
            raise BundleError(f"score rule {made.rule!r} is not known; this software has {', '.join(SCORE_RULES)}")
        if not made.softness > 0.0:
            raise BundleError(f"score: softness {made.softness:g}; it must be greater than 0")
        for name, most in (("top_fine", 64), ("top_coarse", 16), ("top_water", 16), ("top_event", 64)):
            if not 1 <= getattr(made, name) <= most:
                raise BundleError(f"score: {name} {getattr(made, name)}; it must lie between 1 and {most}")
        if not 0.0 < made.prior < 1.0:
            raise BundleError(f"score: prior {made.prior:g}; it must lie between 0 and 1")
        if not made.calibration[1] > 0.0:
            raise BundleError("score: the calibration falls with the surprise; a ranking would be turned round")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"calibration": list(self.calibration)}


def _same_kind(default: object, value: Any) -> Any:
    """`value` as the type of `default`; TypeError or ValueError where it is none."""
    if isinstance(default, tuple):
        first, second = value
        return float(first), float(second)
    if isinstance(default, str):
        return str(value)
    return int(value) if isinstance(default, int) else float(value)
