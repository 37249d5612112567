"""What a run takes of a profile's energy, for report.html: joules by stage, and a row of cells against its budget."""

from __future__ import annotations

from onboard.budget import STAGES
from onboard.report.markup import Html, join, tag
from onboard.report.outcome import Outcome
from onboard.report.tables import table


def energy(outcome: Outcome) -> Html | None:
    """None without a profile that names watts."""
    budgets = outcome.budgets
    watts = budgets.get("watts")
    if not watts:
        return None
    seconds = {key: sum(outcome.stage_seconds.get(name, 0.0) for name in names) for key, names in STAGES.items()}
    lines: list[tuple[object, ...]] = []
    for key, busy in ({"board": outcome.wall_seconds} | seconds).items():
        if key in watts:
            lines.append((key, f"{watts[key]:g}", f"{busy:.1f}", f"{watts[key] * busy:.1f}"))
    lines.append(("all", "", "", f"{budgets['energy_j']:.1f}"))
    return join(table(("Stage", "Watts", "Seconds", "Joules"), lines, text_columns=1), tag("p", _per_row(outcome)))


def _per_row(outcome: Outcome) -> str:
    """One row of cells against the budget; a strip of n rows has n times that."""
    used, allowed = outcome.budgets.get("energy_j_per_row_used"), outcome.budgets.get("energy_j_per_row")
    if used is None:
        return "No row of cells was looked at."
    rows = [result.status.shape[0] for result in outcome.passes]
    strips = len(outcome.timing.latency)
    told = f"A row of cells took {used:.3g} J"
    if strips:
        told += f", a strip {used * sum(rows) / strips:.3g} J"
    if allowed is None:
        return told + "."
    return (
        told + f"; {allowed:g} J a row are allowed{' and exceeded' if used > allowed else ''}. Watts are the profile's."
    )
