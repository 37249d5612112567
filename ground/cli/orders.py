"""`ground orders ARCHIVE`: what was ordered, and whether the spacecraft has it."""

from ground.cli.ask import orders_app as app

__all__ = ["app"]
