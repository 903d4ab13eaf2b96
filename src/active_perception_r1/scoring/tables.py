"""The leaderboard for people: Markdown with footnotes, tables for the terminal, flat CSV.

What each value of a row means is documented in `leaderboard_row`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from active_perception_r1.modes import MODES
from active_perception_r1.scoring.formats import MISSING, chance, share
from active_perception_r1.scoring.intervals import MIN_DOCUMENTS
from active_perception_r1.scoring.leaderboard_row import (
    Estimate,
    Layout,
    LeaderboardRow,
    as_json,
    number_of_tests,
    read_leaderboard,
)
from active_perception_r1.scoring.looking_tables import (
    COST,
    NECESSITY,
    Table,
    cost_table,
    necessity_table,
    need_table,
)
from active_perception_r1.scoring.paired_tests import DISCORDANCE, detectable_difference

SMALL_ENOUGH = 0.1
"""Slices that cannot show a difference of ten points are called too small."""

NOTES = """\
- **Accuracy**: questions answered right, as the study's task says, with Wilson's 95 % interval,
  wider where questions share documents. An error of the engine or of a sample's data counts as not
  correct. **Score**: mean of what the task gives an answer, shown where it knows more than right
  and wrong.
- **vs baseline**: difference in accuracy to the same model's baseline on the same questions, those
  that ended in an error on either side left out; p of the two-sided exact test that flips the signs
  of documents (McNemar's where each has one question), after Holm's correction for all tests of
  this page; **+/-**: questions that went from wrong to right and from right to wrong. **vs base**:
  the same for a trained model against the model it started from.
- **ANLS**: the published form, where a similarity of exactly 0.5 scores 0. The differences of score
  and ANLS to the baseline have a 95 % bootstrap interval over documents.
- **Over orders**: mean of the accuracies in each order of the options, where questions are asked in
  several, as HR-Bench counts. **Circular**: share of the questions that are right in all of them.
- **Zoom rate**: share of episodes in which the model saw a crop it had asked for. **Strict**: share
  with a crop and then an answer, in fail-closed modes.
- **Coverage**: best share of the evidence in one crop, 0 without a zoom; samples without known
  evidence do not count.
- **oracle** is a diagnostic, not a result: it is shown the evidence. Its difference to the baseline
  is the headroom that zooming can gain."""


def print_leaderboard(path: Path) -> None:
    """Print a `leaderboard.json` as tables for the terminal."""
    print(as_text(read_leaderboard(path)))


def as_text(rows: Sequence[LeaderboardRow]) -> str:
    """The main results and the accuracy by layout, narrow enough for a terminal."""
    left_out = {"+/-", "ANLS", "ANLS vs baseline", "Score vs baseline", "Strict", "Reward"}
    if not any(row.n_errors for row in rows):
        left_out.add("Errors")
    results = [
        {name: cell for name, cell in cells.items() if name not in left_out}
        for cells in results_table(rows)
    ]
    parts = [_formatted(results, "simple"), *claims(rows)]
    if layouts := layout_table(rows):
        parts += [_formatted(layouts, "simple"), layout_power(rows)]
    if needs := necessity_table(rows):
        parts.append(_formatted(needs, "simple"))
    if seeds := seed_table(rows):
        parts.append(_formatted(seeds, "simple"))
    return "\n\n".join(parts)


def as_markdown(rows: Sequence[LeaderboardRow], study: str) -> str:
    """A page with all tables and what their numbers mean."""
    parts = [f"# Leaderboard of study {study}", _formatted(results_table(rows), "github")]
    parts += claims(rows)
    if layouts := layout_table(rows):
        parts += ["## Accuracy by layout", _formatted(layouts, "github")]
        parts.append(layout_power(rows))
    if needs := necessity_table(rows):
        parts += ["## Was the looking needed?", _formatted(needs, "github"), NECESSITY]
    if costs := cost_table(rows):
        parts += ["## What it cost, an episode", _formatted(costs, "github"), COST]
    if kinds := need_table(rows):
        parts += ["## By whether a zoom is needed", _formatted(kinds, "github")]
    if seeds := seed_table(rows):
        parts += ["## Accuracy over seeds", _formatted(seeds, "github")]
    parts += ["## How episodes ended", _formatted(status_table(rows), "github")]
    parts += ["## Notes", "\n".join([NOTES, *warnings(rows)])]
    return "\n\n".join(parts) + "\n"


def as_csv(rows: Sequence[LeaderboardRow]) -> str:
    """One line per row; nested values become columns such as `tool_status.answered`."""
    # As objects, since a column of integers with a gap would turn into floats.
    flat = [pd.json_normalize(as_json(row)).astype(object) for row in rows]
    return pd.concat(flat).to_csv(index=False, lineterminator="\n")


def results_table(rows: Sequence[LeaderboardRow]) -> Table:
    """The main table, without columns of which the study has nothing."""
    empty: set[str] = set()
    if all(row.delta_vs_start is None for row in rows):
        empty |= {"vs base"}
    if all(row.mean("score") == row.accuracy for row in rows):
        empty |= {"Score", "Score vs baseline"}
    if all(row.cycle_accuracy is None for row in rows):
        empty |= {"Over orders", "Circular"}
    if all(row.mean("anls") is None for row in rows):
        empty |= {"ANLS", "ANLS vs baseline"}
    return [
        {name: cell for name, cell in _result(row).items() if name not in empty} for row in rows
    ]


def _result(row: LeaderboardRow) -> dict[str, str]:
    interval = f" [{share(row.ci_low)}, {share(row.ci_high)}]" if row.n else ""
    return {
        "Model": row.model,
        "Mode": row.mode,
        "n": str(row.n),
        "Accuracy": share(row.accuracy) + interval,
        "vs baseline": _difference(row.delta_baseline, row.p_holm),
        "+/-": MISSING if row.gained is None else f"+{row.gained}/-{row.harmed}",
        "vs base": _difference(row.delta_vs_start, row.p_vs_start_holm),
        "Score": share(row.mean("score")),
        "Score vs baseline": _gain(row.means["delta_score"]),
        "ANLS": share(row.mean("anls")),
        "ANLS vs baseline": _gain(row.means["delta_anls"]),
        "Over orders": share(row.cycle_accuracy),
        "Circular": share(row.mean("circular")),
        "Zoom rate": share(row.zoom_rate),
        "Strict": share(row.strict_satisfied),
        "Coverage": share(row.mean("coverage")),
        # It is about zooms: where there is no tool, it would read as a punishment for not using it.
        "Reward": share(row.mean("reward")) if MODES[row.mode].tool else MISSING,
        "Errors": str(row.n_errors),
    }


def claims(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """What the main table can and cannot show, in words."""
    largest = max(rows, key=lambda row: row.n)
    yield _power(largest.n, int(largest.n_effective), number_of_tests(rows))
    if any(row.n and row.means["score"].ci_low is None for row in rows):
        yield (
            f"Too few documents for an interval: where fewer than {MIN_DOCUMENTS} count alike,"
            " means have none,\nand that of accuracy is a hint."
        )


def _power(n: int, worth: int, tests: int) -> str:
    """What a table of n questions can show, in words; a claim that it cannot show is ruled out."""
    smallest = detectable_difference(worth, max(1, tests))
    questions = f"n = {n}" if worth == n else f"n = {n} (worth {worth}, as documents are shared)"
    assumed = f"if {DISCORDANCE:.0%} of the answers change"
    if tests > 1:
        assumed += f", corrected for {tests} tests"
    if smallest is None:
        return f"Too few questions for a claim: {questions} shows no difference at all, {assumed}."
    found = (
        f"difference in accuracy that {questions} shows with 80 % power, {assumed}: {smallest:.3f}"
    )
    if smallest > SMALL_ENOUGH:
        return f"Too few questions for a claim about less than this: the smallest\n{found}."
    return f"The smallest {found}."


def layout_power(rows: Sequence[LeaderboardRow]) -> str:
    """What the accuracies by layout can show, in words."""
    smallest = min(layout.n for row in rows for layout in row.by_layout.values())
    return _power(smallest, smallest, number_of_tests(rows))


def seed_table(rows: Sequence[LeaderboardRow]) -> Table:
    """Models that are repeats of one another share their numbers, and are told apart by name."""
    return [
        {
            "Model": row.model,
            "Mode": row.mode,
            "This seed": share(row.accuracy),
            "Seeds": str(row.seeds),
            "Mean": f"{share(row.seeds_mean)} {_range(row.seeds_ci_low, row.seeds_ci_high)}",
            "Between seeds (sd)": share(row.seeds_sd),
        }
        for row in rows
        if row.seeds
    ]


def layout_table(rows: Sequence[LeaderboardRow]) -> Table:
    """Accuracy by kind of page; nothing where kinds have no names."""
    names = sorted({layout for row in rows for layout in row.by_layout})
    if not names:
        return []
    return [
        {
            "Model": row.model,
            "Mode": row.mode,
            **{name: _layout(row.by_layout.get(name)) for name in names},
        }
        for row in rows
    ]


def _layout(result: Layout | None) -> str:
    return f"{share(result.accuracy)} (n={result.n})" if result else MISSING


def status_table(rows: Sequence[LeaderboardRow]) -> Table:
    """How many episodes ended how."""
    statuses = sorted({status for row in rows for status in row.tool_status})
    return [
        {
            "Model": row.model,
            "Mode": row.mode,
            **{status: str(row.tool_status.get(status, 0)) for status in statuses},
        }
        for row in rows
    ]


def warnings(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """What to keep in mind about single rows."""
    unclear = [row for row in rows if row.p_holm is not None and row.p_holm >= 0.05]
    if unclear:
        names = "; ".join(f"{row.model}, {row.mode}" for row in unclear)
        yield f"- **No difference shown** to their baseline (adjusted p not below .05): {names}."
    for row in rows:
        name = f"{row.model}, {row.mode}"
        if row.n_errors:
            yield (
                f"- **{name}**: {row.n_errors} of {row.n} episodes ended in an error that is"
                " not the model's; they are compared with nothing, and the next run retries"
                f" those of the engine. {row.errors}"
            )
        if row.n_no_evidence:
            yield (
                f"- **{name}**: no evidence is known for {row.n_no_evidence} of"
                f" {row.n + row.n_no_evidence} samples; they are left out, and the baseline"
                " it is compared with is that of the others."
            )


def _gain(difference: Estimate) -> str:
    if difference.mean is None:
        return MISSING
    return f"{difference.mean:+.3f} {_range(difference.ci_low, difference.ci_high)}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None else f"[{low:.3f}, {high:.3f}]"


def _difference(delta: float | None, p_value: float | None) -> str:
    if delta is None or p_value is None:
        return MISSING
    return f"{delta:+.3f} ({chance(p_value)})"


def _formatted(table: Table, style: str) -> str:
    # Cells are finished text: without this, tabulate would reformat those that look like numbers.
    return tabulate(table, headers="keys", tablefmt=style, disable_numparse=True)
