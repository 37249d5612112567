"""HTML and SVG built as values: text is escaped unless it came out of `tag`, so no input becomes markup by accident."""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID = frozenset({"br", "img", "input", "link", "meta", "wbr"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """One element. Children that are not `Html` are escaped; None is left out, sequences are flattened.

    Attribute names lose a trailing underscore (`class_`) and take `-` for `_` (`data_row`). None and False leave the
    attribute out, True gives it without a value.
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Children one after another, without an element around them."""
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(str(child))
        elif isinstance(child, Iterable) and not isinstance(child, str | bytes):
            parts.append(str(join(*child)))
        elif child is not None:
            parts.append(html.escape(str(child)))
    return Html("".join(parts))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
