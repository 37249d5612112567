"""Training the RaVAEn encoder: the steps, where tiles come from, what a checkpoint holds; for what, `objectives` says.

One epoch is `epoch_steps` batches of random crops, seeded by (seed, epoch, index), and so is its noise: a run that is
broken off and resumed from its last checkpoint ends at the weights of an unbroken one. A checkpoint carries everything
that export needs, under the key `onboard`: bands, normalisation rule, network, the SHA-256 of every training file and
a hash over all that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ground.models.ravaen import Ravaen, RavaenConfig
from ground.scenes.pairs import Jitter, Scene
from ground.training.checkpoint import origin, read_checkpoint
from ground.training.objectives import OBJECTIVES
from ground.training.objectives.base import Objective
from onboard.sense.normalise import NormaliseRule

ARCHITECTURE = "ravaen-vae"


@dataclass(frozen=True)
class EncoderRecipe:
    """Everything that decides what the weights become, apart from the files themselves.

    Attributes:
        name: of the band set.
        bands: canonical band names in channel order.
        model: shape of the network.
        rule: normalisation.
        jitter: radiometric jitter of the training tiles.
        steps, epoch_steps: optimiser steps in all, and between two validations (and checkpoints).
        batch: tiles per step and device, whatever the objective makes a sample of.
        learning_rate: peak of the one-cycle schedule (Smith and Topin 2018), AdamW.
        kl_weight: of the KL divergence (nats per tile) against the mean squared error per value.
        hold_out: places kept for validation.
        seed: of weights, tiles and noise.
        objective: key of `OBJECTIVES`, what the encoder is trained for.

    Raises:
        ValueError: there is no such objective.
    """

    name: str
    bands: tuple[str, ...]
    model: RavaenConfig
    rule: NormaliseRule
    jitter: Jitter = field(default_factory=Jitter)
    steps: int = 600
    epoch_steps: int = 50
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    kl_weight: float = 1e-3
    hold_out: tuple[str, ...] = ()
    seed: int = 0
    objective: str = "vae"

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. The VAE, which was the only objective once, goes unnamed: its training hashes stand."""
        plain = json.loads(json.dumps(asdict(self) | {"rule": self.rule.to_dict()}))
        if self.objective == "vae":
            del plain["objective"]
        return plain

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> EncoderRecipe:
        """Inverse of `to_dict`; TypeError on unknown keys."""
        parts = {
            "bands": tuple(raw["bands"]),
            "hold_out": tuple(raw["hold_out"]),
            "model": RavaenConfig(**raw["model"]),
            "rule": NormaliseRule.from_dict(raw["rule"]),
            "jitter": Jitter(**raw["jitter"]),
        }
        return cls(**(raw | parts))


class EncoderModule(L.LightningModule):
    """The optimisation of one `Ravaen`. Logs what its objective names, of training and of held-out tiles."""

    def __init__(self, recipe: dict[str, Any], files: dict[str, str]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.recipe = EncoderRecipe.from_dict(recipe)
        self.files = files
        # Channels-last is a third faster on a CPU without AMX; the values are the same.
        self.net = Ravaen(self.recipe.model).to(memory_format=torch.channels_last)
        self.objective: Objective = OBJECTIVES[self.recipe.objective](self.recipe)

    def on_train_epoch_start(self) -> None:
        """Noise anew from (seed, epoch, process): a resumed run draws what the unbroken one would have drawn."""
        key = np.random.SeedSequence((self.recipe.seed, self.current_epoch, self.global_rank))
        torch.manual_seed(int(key.generate_state(1)[0]))

    def training_step(self, batch: Any, index: int) -> Tensor:
        """batch: of the objective's samples; single tiles are float32 (N, B, 32, 32)."""
        total, terms = self._loss(batch, self.global_step / self.recipe.steps)
        logged = {f"train_{name}": value for name, value in terms.items()}
        self.log_dict(logged, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return total

    def validation_step(self, batch: Any, index: int) -> None:
        """batch: of the objective's held-out samples; a VAE's latent is then mu."""
        total, terms = self._loss(batch[0] if isinstance(batch, list) and len(batch) == 1 else batch, 1.0)
        logged = {"val_loss": total} | {f"val_{name}": value for name, value in terms.items()}
        self.log_dict(logged, prog_bar=True, sync_dist=True)

    def _loss(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        if isinstance(batch, Tensor) and batch.dim() == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        total, terms = self.objective(self.net, batch, progress)
        return total, terms

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW under one cosine cycle that ends exactly with the last step."""
        recipe = self.recipe
        optimiser = torch.optim.AdamW(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=recipe.learning_rate, total_steps=recipe.steps + 1, pct_start=0.2
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where the weights come from goes along."""
        checkpoint["onboard"] = origin(ARCHITECTURE, self.recipe, self.files)


class TileData(L.LightningDataModule):
    """Random crops of the training scenes, anew each epoch; a fixed sample of cells of the held-out ones."""

    def __init__(
        self, recipe: EncoderRecipe, training: Sequence[Scene], held_out: Sequence[Scene], workers: int = 0
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.training = training
        self.held_out = held_out
        self.workers = workers
        self.objective = OBJECTIVES[recipe.objective](recipe)
        self.batch = max(recipe.batch // self.objective.tiles, 1)

    def train_dataloader(self) -> DataLoader[Any]:
        """Called at the start of each epoch (`reload_dataloaders_every_n_epochs=1`)."""
        trainer, recipe = self.trainer, self.recipe
        epoch, devices = (trainer.current_epoch, trainer.world_size) if trainer else (0, 1)
        left = recipe.steps - epoch * recipe.epoch_steps
        length = max(min(recipe.epoch_steps, left), 1) * self.batch * devices
        samples = self.objective.samples(self.training, length, recipe.seed, epoch)
        return DataLoader(samples, batch_size=self.batch, num_workers=self.workers)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Without held-out scenes there is no validation."""
        if not self.held_out:
            return []
        return DataLoader(self.objective.held_out_samples(self.held_out), batch_size=self.batch)


def fit(
    recipe: EncoderRecipe,
    training: Sequence[Scene],
    held_out: Sequence[Scene],
    files: dict[str, str],
    out: Path,
    *,
    resume: Path | None = None,
    workers: int = 0,
    progress: bool = True,
    **trainer: Any,
) -> Path:
    """Train and leave `out/encoder.ckpt` (the last state), `out/metrics.csv` and Lightning's periodic checkpoints.

    Args:
        files: from `pairs.file_hashes`, of the training scenes.
        resume: a checkpoint of the same recipe to go on from.
        workers: processes that cut tiles; 0 cuts them in this one.
        trainer: passed on to `lightning.Trainer` (accelerator, devices, strategy, precision ...).

    Returns:
        Path of the final checkpoint.
    """
    L.seed_everything(recipe.seed, workers=True, verbose=False)
    module = EncoderModule(recipe.to_dict(), files)
    logger = L.pytorch.loggers.CSVLogger(out, name="", version="", flush_logs_every_n_steps=1)
    saver = L.pytorch.callbacks.ModelCheckpoint(
        out / "checkpoints", filename="step{step:06d}", save_top_k=-1, save_last=True, auto_insert_metric_name=False
    )
    bar = [L.pytorch.callbacks.RichProgressBar()] if progress else []
    runner = L.Trainer(
        max_steps=recipe.steps,
        max_epochs=-1,
        callbacks=[saver, *bar],
        logger=logger,
        enable_progress_bar=progress,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        deterministic=True,
        **trainer,
    )
    runner.fit(module, datamodule=TileData(recipe, training, held_out, workers), ckpt_path=resume, weights_only=True)
    final = out / "encoder.ckpt"
    runner.save_checkpoint(final, weights_only=True)
    return final


@dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """A checkpoint read back: the network in `eval()`, and where it comes from."""

    net: Ravaen
    recipe: EncoderRecipe
    files: dict[str, str]
    training_hash: str


def load_checkpoint(path: Path) -> TrainedEncoder:
    """Read a checkpoint written by `fit`, without running any code from it.

    Raises:
        ValueError: not a checkpoint of this architecture, or its training hash does not match its contents.
    """
    weights, about = read_checkpoint(path, ARCHITECTURE)
    recipe = EncoderRecipe.from_dict(about["recipe"])
    net = Ravaen(recipe.model)
    net.load_state_dict(weights)
    return TrainedEncoder(net.eval(), recipe, about["files"], about["training_hash"])


def parameters(module: torch.nn.Module) -> int:
    """Number of trained values."""
    return int(np.sum([p.numel() for p in module.parameters()]))
