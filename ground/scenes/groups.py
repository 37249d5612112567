"""Samples of several tiles: two dates of a place, the same with an event in one, neighbours, squares. No labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, groupby

import numpy as np
import torch
from numpy.typing import NDArray

from ground.scenes.events import Events
from ground.scenes.pairs import Jitter, RandomTiles, Scene
from onboard.sense.grid import CELL

F32 = NDArray[np.float32]

RADIOMETRY = 3.0
"""Two dates differ by more than one: the recipe's jitter is taken this many times."""
DISPLACEMENT_PX = 2
"""The second date is displaced by up to this much in each direction."""
GAP_PX = 4
"""Between neighbours, so that no edge runs from one into the other; each is displaced by up to half of it."""
NEIGHBOURS = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0))


class _Groups(RandomTiles):
    """A random square of `side` px of a random scene, from which the tiles are cut."""

    side = CELL

    def __init__(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int, jitter: Jitter) -> None:
        large = [scene for scene in scenes if min(scene.dn.shape[1:]) >= self.side]
        if not large:
            raise ValueError(f"no scene of at least {self.side} x {self.side} px")
        super().__init__(large, length, seed, epoch, jitter)

    def _jittered(self, tile: F32, rng: np.random.Generator) -> F32:
        gain, offset = self.jitter.draw(len(tile), rng)
        return np.asarray(tile * gain + offset, dtype=np.float32)

    def _rng(self, index: int) -> np.random.Generator:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return np.random.default_rng((*self.key, index))


class PairTiles(_Groups):
    """Two dates of one place in random order, float32 (2, B, 32, 32): one symmetry, jitter for each."""

    side = CELL + 2 * DISPLACEMENT_PX

    def __init__(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int, jitter: Jitter) -> None:
        by_place = sorted(scenes, key=lambda scene: (scene.place, scene.name))
        self.pairs = [
            pair for _, group in groupby(by_place, key=lambda scene: scene.place) for pair in combinations(group, 2)
        ]
        if not self.pairs:
            raise ValueError("no place with two passes")
        common = [Scene(a.place, a.name, a.dn[:, : b.dn.shape[1], : b.dn.shape[2]], a.tables) for a, b in self.pairs]
        super().__init__(common, length, seed, epoch, Jitter(RADIOMETRY * jitter.gain, RADIOMETRY * jitter.offset))
        self.second = {id(scene): b for scene, (_, b) in zip(common, self.pairs, strict=True)}

    def __getitem__(self, index: int) -> torch.Tensor:
        rng = self._rng(index)
        return torch.from_numpy(np.stack([self._jittered(tile, rng) for tile in self._dates(rng)]))

    def _dates(self, rng: np.random.Generator) -> list[F32]:
        scene, row, col = self._corner(rng)
        down, right = rng.integers(0, 2 * DISPLACEMENT_PX + 1, 2)
        tiles = [
            scene.tile(row + DISPLACEMENT_PX, col + DISPLACEMENT_PX),
            self.second[id(scene)].tile(row + int(down), col + int(right)),
        ]
        turns, mirror = int(rng.integers(4)), bool(rng.random() < 0.5)
        if rng.random() < 0.5:
            tiles.reverse()
        return [_turned(tile, turns, mirror) for tile in tiles]


class TripletTiles(PairTiles):
    """Two dates and the second with a simulated event in it, float32 (3, B, 32, 32); jitter for each."""

    def __init__(
        self, scenes: Sequence[Scene], length: int, seed: int, epoch: int, jitter: Jitter, events: Events
    ) -> None:
        super().__init__(scenes, length, seed, epoch, jitter)
        self.events = events

    def __getitem__(self, index: int) -> torch.Tensor:
        rng = self._rng(index)
        anchor, same = self._dates(rng)
        event = self.events.difference[int(rng.integers(len(self.events.difference)))]
        changed = np.clip(same + _turned(event, int(rng.integers(4)), bool(rng.random() < 0.5)), *self.events.limits)
        return torch.from_numpy(np.stack([self._jittered(tile, rng) for tile in (anchor, same, changed)]))


class NeighbourTiles(_Groups):
    """A tile and one of its 8 neighbours, float32 (2, B, 32, 32), and which: index into `NEIGHBOURS`."""

    side = 3 * CELL + 2 * GAP_PX + GAP_PX

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:  # type: ignore[override]
        rng = self._rng(index)
        scene, row, col = self._corner(rng)
        which = int(rng.integers(len(NEIGHBOURS)))
        tiles = []
        for down, right in ((0, 0), NEIGHBOURS[which]):
            move = rng.integers(0, GAP_PX + 1, 2)
            at = row + (1 + down) * (CELL + GAP_PX) + int(move[0]), col + (1 + right) * (CELL + GAP_PX) + int(move[1])
            tiles.append(self._jittered(scene.tile(*at), rng))
        return torch.from_numpy(np.stack(tiles)), which


class SquareTiles(_Groups):
    """Four tiles of a 2 x 2 square with gaps, row by row, float32 (4, B, 32, 32); jitter for each."""

    side = 2 * CELL + GAP_PX + GAP_PX

    def __getitem__(self, index: int) -> torch.Tensor:
        rng = self._rng(index)
        scene, row, col = self._corner(rng)
        tiles = []
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            move = rng.integers(0, GAP_PX + 1, 2)
            at = row + down * (CELL + GAP_PX) + int(move[0]), col + right * (CELL + GAP_PX) + int(move[1])
            tiles.append(self._jittered(scene.tile(*at), rng))
        return torch.from_numpy(np.stack(tiles))


def _turned(tile: F32, turns: int, mirror: bool) -> F32:
    """One of the 8 symmetries of the square."""
    turned = np.rot90(tile, turns, (1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if mirror else turned)
