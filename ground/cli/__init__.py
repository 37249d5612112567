"""`ground`: what runs on the ground. `ground --help` imports no torch: a command's module is loaded when it is called.

A sub-app is a line in `COMMANDS`: name -> (module, one line of help). The module holds a `typer.Typer` called `app`.
"""

from __future__ import annotations

import importlib
from typing import Any

import click
import typer

COMMANDS = {
    "train": ("ground.cli.train", "Train the networks that fly."),
    "evaluate": ("ground.cli.evaluate", "Measure detection on labelled imagery."),
}


class _Lazy(typer.core.TyperGroup):
    """Lists `COMMANDS` without importing them; `resolve` brings in the one that was asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, text = COMMANDS[cmd_name]
        return _Stub(cmd_name, module, text)


class _Stub(click.Group):
    """Stands for a command in the listing and becomes it when invoked."""

    def __init__(self, name: str, module: str, text: str) -> None:
        super().__init__(name, help=text, short_help=text)
        self.module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> click.Context:
        real = typer.main.get_command(importlib.import_module(self.module).app)
        return real.make_context(info_name, args, parent=parent, **extra)


app = typer.Typer(cls=_Lazy, no_args_is_help=True, add_completion=False, help=__doc__.split(".")[0] + ".")


@app.callback()
def _root() -> None:
    """What runs on the ground: training, evaluation, the receiving station."""
