"""The leaderboard as a table for a paper, which `\\input` puts there; it needs `booktabs` only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from active_perception_r1.scoring.formats import MISSING
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, number_of_tests

LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{mark: f"\\text{name}{{}}" for mark, name in (("<", "less"), (">", "greater"), ("|", "bar"))},
}
_HEAD = r"""% Made by active-perception; needs \usepackage{booktabs}.
\begin{tabular}{@{}llrlrr@{}}
\toprule
Model & Mode & $n$ & Accuracy [95\,\%] & $\Delta$ baseline & $\Delta$ base \\
"""


def as_latex(rows: Sequence[LeaderboardRow]) -> str:
    """Accuracy with its interval, and differences with the level at which they are significant.

    Stars are for p values after Holm's correction for all tests of the table, which a comment says.
    """
    lines = [_HEAD.rstrip("\n")]
    for model, of_model in groupby(rows, lambda row: row.model):
        lines.append(r"\midrule")
        for number, row in enumerate(of_model):
            lines.append(_line(row, "" if number else escaped(model)))
    lines.append(r"\bottomrule")
    lines.append(r"\end{tabular}")
    lines.append(
        f"% {', '.join(f'{stars} p < {level}' for level, stars in reversed(LEVELS))}, exact paired"
        f" tests, Holm's correction for {number_of_tests(rows)} tests; [95 %]: Wilson's interval."
    )
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    r"""Text as TeX shows it; what it may have no letter for as a question mark.

    >>> escaped("50% of_it")
    '50\\% of\\_it'
    """
    plain = re.sub(r"[^\x20-\x7e]", "?", text)
    return "".join(_SPECIAL.get(mark, mark) for mark in plain)


def _line(row: LeaderboardRow, model: str) -> str:
    cells = (
        model,
        escaped(row.mode),
        str(row.n),
        _accuracy(row),
        _difference(row.delta_baseline, row.p_holm),
        _difference(row.delta_vs_start, row.p_vs_start_holm),
    )
    return " & ".join(cells) + r" \\"


def _accuracy(row: LeaderboardRow) -> str:
    if row.accuracy is None:
        return _MISSING
    return f"{row.accuracy:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]"


_MISSING = MISSING.replace("–", "--")


def _difference(delta: float | None, p_value: float | None) -> str:
    if delta is None or p_value is None:
        return _MISSING
    stars = next((stars for level, stars in LEVELS if p_value < level), "")
    # Stars take no room, so that digits stand below each other.
    return f"${delta:+.3f}$" + (rf"\rlap{{$^{{{stars}}}$}}" if stars else "")
