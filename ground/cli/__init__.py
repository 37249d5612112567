"""`ground`: what runs on the ground. `ground --help` imports no torch: a command's module is loaded when it is called.

A sub-app is a line in `COMMANDS`: name -> (module, one line of help). The module holds a `typer.Typer` called `app`.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = {
    "train": ("ground.cli.train", "Train the networks that fly."),
    "receive": ("ground.cli.receive", "Receive products, archive and acknowledge them."),
    "passes": ("ground.cli.passes", "Passes from a TLE, and the contact plan that goes up."),
    "ask": ("ground.cli.ask", "Ask for the pixels of a polygon."),
    "orders": ("ground.cli.orders", "What was ordered, and whether the spacecraft has it."),
    "mosaic": ("ground.cli.mosaic", "The current picture of each granule, with the age of each cell."),
    "report": ("ground.cli.report", "Write the report and the index of detections of an archive."),
    "evaluate": ("ground.cli.evaluate", "Measure detection on labelled imagery."),
}


class _Stub(TyperGroup):
    """Stands for a sub-app in the listing, and hands over to the real one when it is invoked.

    Derived from typer's own class and not from click's: recent typer carries its own click inside.
    """

    def __init__(self, name: str, module: str, text: str) -> None:
        super().__init__(name=name, help=text, short_help=text)
        self.module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        real = get_command(importlib.import_module(self.module).app)
        return real.make_context(info_name, args, parent=parent, **extra)


class _Lazy(TyperGroup):
    """Knows its commands from `COMMANDS` alone."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _Stub(cmd_name, *COMMANDS[cmd_name]) if cmd_name in COMMANDS else None


app = typer.Typer(cls=_Lazy, no_args_is_help=True, add_completion=False)


@app.callback()
def _root() -> None:
    """What runs on the ground: training, evaluation, the receiving station."""
