"""Training a network that restores: enlarges (scale 2 to 4) or removes noise (scale 1).

A checkpoint carries, under the key `onboard`, everything that export and evaluation need: the recipe, the SHA-256 of
every training file, and a hash over both. A run that is broken off resumes from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ground.models.restorers import build
from ground.training.adopted import adopt
from ground.training.checkpoint import origin, read_checkpoint
from ground.training.crops import Crops, Pair
from ground.training.denoisers import denoiser
from ground.training.denoisers.base import CROPPED
from ground.training.losses import LOSSES
from ground.training.muon import of_network
from ground.training.rounding import Rounded

ARCHITECTURE = "restorer"
SAMPLED = 8
"""Every so many pixels along each axis tell what bands have in common."""
SLOWER = 0.1
"""Rate of deconvolutions in the paper of FSRCNN, over that of convolutions."""
OTHER_RATE = 2e-3
"""Peak learning rate of the weights that Muon leaves to Adam, where its own is no lower."""


@dataclass(frozen=True)
class RestoreRecipe:
    """Everything that decides what the weights become, apart from the files themselves.

    Attributes:
        network: key of `ground.models.restorers`.
        scale: 1 denoises.
        bands: of the network.
        imagery: "natural" or "sentinel2".
        objective: key of `ground.training.denoisers.DENOISERS`; super-resolution is always supervised.
        loss: key of `ground.training.losses.LOSSES`, of super-resolution and of supervised denoising.
        noise: plain values of the noise model, with its kind; empty for super-resolution.
        draws: of noise for each picture.
        told: training hash of the denoiser that told of stripes in all draws but the first; empty where medians did.
        steps, epoch_steps: optimiser steps in all, and between two checkpoints.
        batch, side: crops a step, and their side in pixels of the given image.
        learning_rate: peak of a one-cycle schedule.
        optimiser: "adam", or "muon" for the hidden convolutions with Adam, at no more than `OTHER_RATE`, for the rest.
        average: decay, per step, of the mean over weights that is what is kept (Polyak and Juditsky 1992,
            doi:10.1137/0330046); 0 keeps the weights of the last step.
        rounded: whether it is trained with the rounding of INT8 (`ground.training.rounding`).
        start: training hash of the checkpoint whose weights it starts from, or empty.
        hold_out: places that were not trained on.
        seed: of weights, crops and noise.
    """

    network: str
    scale: int
    bands: int = 1
    imagery: str = "natural"
    objective: str = "supervised"
    loss: str = "l1"
    noise: dict[str, Any] = field(default_factory=dict)
    draws: int = 1
    told: str = ""
    steps: int = 4000
    epoch_steps: int = 200
    batch: int = 16
    side: int = 48
    learning_rate: float = 2e-3
    optimiser: str = "adam"
    average: float = 0.0
    rounded: bool = False
    start: str = ""
    hold_out: tuple[str, ...] = ()
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> RestoreRecipe:
        """Inverse of `to_dict`; TypeError on unknown keys."""
        return cls(**(raw | {"hold_out": tuple(raw["hold_out"])}))


class RestoreModule(L.LightningModule):
    """The optimisation of one restoring network."""

    def __init__(self, recipe: dict[str, Any], files: dict[str, str]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.recipe = RestoreRecipe.from_dict(recipe)
        self.files = files
        self.net = build(self.recipe.network, self.recipe.bands, self.recipe.scale).to(
            memory_format=torch.channels_last
        )
        self.averaged = deepcopy(self.net).requires_grad_(False) if self.recipe.average else None
        self.seen: Callable[[Tensor], Tensor] = Rounded(self.net) if self.recipe.rounded else self.net
        self.objective = denoiser(self.recipe.objective, LOSSES[self.recipe.loss])

    def on_train_epoch_start(self) -> None:
        """What an objective draws comes anew from (seed, epoch)."""
        key = np.random.SeedSequence((self.recipe.seed, self.current_epoch))
        torch.manual_seed(int(key.generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        """batch: given, wanted, sigma; see `Crops`."""
        given, wanted, sigma = batch
        if self.recipe.scale == 1:
            shown = wanted if self.objective.needs_clean else torch.zeros_like(wanted)
            loss = self.objective.loss(self.seen, given, shown, sigma)
        else:
            cut = CROPPED * self.recipe.scale
            inside = (slice(None), slice(None), slice(cut, -cut), slice(cut, -cut))
            loss = LOSSES[self.recipe.loss](self.seen(given)[inside], wanted[inside])
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def begin(self, other: nn.Module) -> None:
        """Take over another network's weights (`adopt`); the mean over weights begins with them too."""
        adopt(self.net, other)
        if self.averaged is not None:
            self.averaged.load_state_dict(self.net.state_dict())

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """The mean over weights follows."""
        if self.averaged is not None:
            pairs = zip(self.averaged.parameters(), self.net.parameters(), strict=True)
            for mean, weight in pairs:
                mean.lerp_(weight.detach(), 1 - self.recipe.average)

    @torch.no_grad()
    def settle(self) -> None:
        """The network becomes what is kept: the mean over weights; and as it was trained, rounded."""
        if self.averaged is not None:
            self.net.load_state_dict(self.averaged.state_dict())
            self.averaged = None
        if isinstance(self.seen, Rounded):
            self.seen.settle()

    def configure_optimizers(self) -> dict[str, Any]:
        """One cosine cycle that ends exactly with the last step."""
        recipe = self.recipe
        optimiser: torch.optim.Optimizer = torch.optim.Adam(_by_rate(self.net, recipe.learning_rate))
        if recipe.optimiser == "muon":
            optimiser = of_network(self, recipe.learning_rate, min(recipe.learning_rate, OTHER_RATE))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=[group["lr"] for group in optimiser.param_groups], total_steps=recipe.steps + 1,
            pct_start=0.1, final_div_factor=1e3, cycle_momentum=recipe.optimiser == "adam",
        )  # fmt: skip
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where the weights come from goes along."""
        checkpoint["onboard"] = origin(ARCHITECTURE, self.recipe, self.files)


class CropData(L.LightningDataModule):
    """Random crops, anew each epoch."""

    def __init__(self, recipe: RestoreRecipe, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self.recipe, self.pairs = recipe, pairs

    def train_dataloader(self) -> DataLoader[Any]:
        """Called at the start of each epoch."""
        recipe, epoch = self.recipe, self.trainer.current_epoch if self.trainer else 0
        left = max(min(recipe.epoch_steps, recipe.steps - epoch * recipe.epoch_steps), 1)
        striped = recipe.noise.get("kind") == "sensor"
        crops = Crops(
            self.pairs, recipe.side, recipe.scale, left * recipe.batch, (recipe.seed, epoch), turn=not striped
        )
        return DataLoader(crops, batch_size=recipe.batch)


def fit(
    recipe: RestoreRecipe,
    pairs: Sequence[Pair],
    files: dict[str, str],
    out: Path,
    *,
    start: TrainedRestorer | None = None,
    resume: Path | None = None,
    progress: bool = True,
    **trainer: Any,
) -> Path:
    """Train and leave `out/restorer.ckpt` and `out/metrics.csv`.

    Args:
        files: name -> SHA-256 of what is trained on.
        start: weights to begin with (`ground.training.shipped`); layers of another shape stay fresh.
        resume: a checkpoint of the same recipe to go on from.
        trainer: passed on to `lightning.Trainer`.

    Returns:
        Path of the final checkpoint.
    """
    L.seed_everything(recipe.seed, workers=True, verbose=False)
    module = RestoreModule(recipe.to_dict(), files)
    if getattr(module.net, "mixed", False):
        module.net.mix(*_sampled(pairs))
    if start is not None:
        module.begin(start.net)
    logger = L.pytorch.loggers.CSVLogger(out, name="", version="", flush_logs_every_n_steps=1)
    saver = L.pytorch.callbacks.ModelCheckpoint(out / "checkpoints", save_top_k=1, save_last=True)
    bar = [L.pytorch.callbacks.RichProgressBar()] if progress else []
    runner = L.Trainer(
        max_steps=recipe.steps,
        max_epochs=-1,
        callbacks=[saver, *bar],
        logger=logger,
        enable_progress_bar=progress,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        log_every_n_steps=50,
        **trainer,
    )
    runner.fit(module, datamodule=CropData(recipe, pairs), ckpt_path=resume, weights_only=True)
    module.settle()
    final = out / "restorer.ckpt"
    runner.save_checkpoint(final, weights_only=True)
    return final


def _by_rate(net: nn.Module, rate: float) -> list[dict[str, Any]]:
    """Groups of parameters for Adam: deconvolutions, whose outputs add up a thousand products, learn at a tenth."""
    slow = [weight for one in net.modules() if isinstance(one, nn.ConvTranspose2d) for weight in one.parameters()]
    known = {id(weight) for weight in slow}
    rest = [weight for weight in net.parameters() if id(weight) not in known]
    groups = [{"params": rest, "lr": rate}, {"params": slow, "lr": SLOWER * rate}]
    return [group for group in groups if group["params"]]


def _sampled(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Clean pixels (B, n), and the mean of the noise's map (B,), of all pairs."""
    clean = np.concatenate([pair.wanted[:, ::SAMPLED, ::SAMPLED].reshape(len(pair.wanted), -1) for pair in pairs], 1)
    sigma = np.mean([pair.sigma.mean((1, 2)) for pair in pairs], axis=0)
    return torch.from_numpy(clean), torch.from_numpy(sigma)


@dataclass(frozen=True, eq=False)
class TrainedRestorer:
    """A checkpoint read back: the network in `eval()`, and where it comes from."""

    net: nn.Module
    recipe: RestoreRecipe
    files: dict[str, str]
    training_hash: str


def load_checkpoint(path: Path) -> TrainedRestorer:
    """Read a checkpoint written by `fit`, without running any code from it.

    Raises:
        ValueError: not a checkpoint of this architecture, or its training hash does not match its contents.
    """
    weights, about = read_checkpoint(path, ARCHITECTURE)
    recipe = RestoreRecipe.from_dict(about["recipe"])
    net = build(recipe.network, recipe.bands, recipe.scale)
    net.load_state_dict(weights)
    return TrainedRestorer(net.eval(), recipe, about["files"], about["training_hash"])
