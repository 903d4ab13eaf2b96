"""How each number of a leaderboard comes about: counts, formulas, draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from active_perception_r1.scoring.intervals import RESAMPLES
from active_perception_r1.scoring.leaderboard import read_rows
from active_perception_r1.scoring.leaderboard_row import Estimate, LeaderboardRow, number_of_tests
from active_perception_r1.scoring.paired_tests import DISCORDANCE


def explain(scores: Mapping[tuple[str, str], Path], started_from: Mapping[str, str]) -> str:
    """For each score table, its numbers in words, as `leaderboard` computes them.

    Raises:
        DataError: a table cannot be read, or the tables are not about the same samples.
    """
    rows = read_rows(scores, started_from, {}, {})
    family = number_of_tests(rows)
    paths = [str(path) for path in scores.values()]
    return "\n\n".join(
        "\n  ".join([f"{row.model}, {row.mode} ({path})", *_lines(row, family)])
        for row, path in zip(rows, paths, strict=True)
    )


def _lines(row: LeaderboardRow, family: int) -> Iterator[str]:
    n = row.n
    if not n:
        yield "no sample was run"
        return
    shared = f" for {n} questions on {row.documents} documents" if row.documents < n else ""
    yield (
        f"accuracy {row.accuracy:.4f} = {round((row.accuracy or 0.0) * n)} / {n},"
        f" Wilson{shared} [{row.ci_low:.4f}, {row.ci_high:.4f}]"
    )
    test = f"sign flips of {row.documents} documents" if shared else "McNemar"
    draws = f"{RESAMPLES} draws of {row.documents} documents, seed 0"
    for name in ("score", "anls", "coverage"):
        if row.mean(name) is not None:
            yield f"{name} {_told(row.means[name])}: mean of those that have one; {draws}"
    if row.p_value is not None:
        yield (
            f"against the baseline {row.delta_baseline:+.4f} on {row.n_compared} questions without"
            f" errors: {row.gained} gained, {row.harmed} harmed; exact {test} p ="
            f" {row.p_value:.3g}, by Holm for {family} tests {row.p_holm:.3g}"
        )
        gain = _told(row.means["delta_score"], "+")
        yield f"score against the baseline {gain}: {draws}, the same on both sides"
    if row.p_vs_start is not None:
        yield (
            f"against the base model {row.delta_vs_start:+.4f} on {row.n_compared_vs_start}"
            f" questions without errors: exact {test} p = {row.p_vs_start:.3g},"
            f" by Holm {row.p_vs_start_holm:.3g}"
        )
    smallest = row.min_detectable
    yield (
        f"smallest difference that {row.n_effective:g} independent questions show with 80 % power:"
        f" {'none' if smallest is None else f'{smallest:.4f}'} (exact test at 5 % /"
        f" {max(1, family)}, {DISCORDANCE:.0%} of the answers change)"
    )


def _told(estimate: Estimate, sign: str = "") -> str:
    mean = f"{estimate.mean:{sign}.4f}"
    if estimate.ci_low is None:
        return mean
    return f"{mean} [{estimate.ci_low:.4f}, {estimate.ci_high:.4f}]"
