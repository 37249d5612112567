"""Curves over 0..1 as a standalone SVG: no library, nothing but lines, ticks and a legend."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, LEFT, TOP, PLOT_W, PLOT_H = 720, 440, 60, 20, 500, 360
COLOURS = ("#0b6e4f", "#d1495b", "#8d99ae", "#c9ada7", "#222222", "#edae49")


def draw(curves: Mapping[str, NDArray[np.float64]], x_name: str, y_name: str) -> str:
    """The picture.

    Args:
        curves: name -> values 0..1 at equal steps of x from 0 to 1.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for tenth in range(0, 11, 2):
        x, y = LEFT + PLOT_W * tenth / 10, TOP + PLOT_H * (1 - tenth / 10)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{PLOT_W}M{x:.1f} {TOP}v{PLOT_H}" stroke="#ddd" fill="none"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth * 10} %</text>')
        parts.append(f'<text x="{x:.1f}" y="{TOP + PLOT_H + 18}" text-anchor="middle">{tenth * 10} %</text>')
    middle = LEFT + PLOT_W / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">{escape(x_name)}</text>')
    parts.append(
        f'<text transform="translate(14 {TOP + PLOT_H / 2}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
    )
    for number, (name, values) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        step = PLOT_W / (len(values) - 1)
        line = " ".join(f"{LEFT + i * step:.1f},{TOP + PLOT_H * (1 - v):.1f}" for i, v in enumerate(values.tolist()))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = TOP + 16 + 20 * number
        parts.append(f'<path d="M{LEFT + PLOT_W + 16} {y}h24" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{LEFT + PLOT_W + 46}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join((*parts, "</svg>\n"))
