"""What a leaderboard says in three sentences, each with its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from active_perception_r1.modes import ACTIVE, BASELINE, MODES, ORACLE
from active_perception_r1.scoring.formats import chance, share
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, number_of_tests

SIGNIFICANT = 0.05


def findings(
    rows: Sequence[LeaderboardRow], started_from: Mapping[str, str] | None = None
) -> list[str]:
    """Does looking help, what did training (or could looking) change, and is it the crop?

    They are about the model that answers best when it may zoom.

    Args:
        started_from: for each trained model, the one that it started from.
    """
    run = [row for row in rows if row.n and row.accuracy is not None]
    zooming = [row for row in run if MODES[row.mode].zooms_for_real]
    if not zooming:
        if not run:
            return ["Nothing was answered."]
        best = max(run, key=_accuracy)
        return [
            f"{best.model} answers {_share(best)} of {best.n} questions in mode {best.mode}; no"
            " mode with a zoom was run."
        ]
    mode = ACTIVE if any(row.mode == ACTIVE for row in zooming) else zooming[0].mode
    best = max((row for row in zooming if row.mode == mode), key=_accuracy)
    own = {row.mode: row for row in run if row.model == best.model}
    start = (started_from or {}).get(best.model)
    before = next((row for row in run if (row.model, row.mode) == (start, mode)), None)
    tests = number_of_tests(rows)
    return [
        _looking(best, own.get(BASELINE), tests),
        _training(best, before, tests) if before else _headroom(own.get(ORACLE)),
        _controls(best, own),
    ]


def _looking(best: LeaderboardRow, baseline: LeaderboardRow | None, tests: int) -> str:
    told = (
        f"When it may zoom ({best.mode}), {best.model} answers {_share(best)} of {best.n} questions"
    )
    if baseline is None or best.delta_baseline is None:
        return f"{told}; no baseline was run to compare it with."
    return (
        f"{told}, without looking closer {_share(baseline)}:"
        f" {_difference(best.delta_baseline, best.p_holm, tests)}."
    )


def _training(trained: LeaderboardRow, before: LeaderboardRow, tests: int) -> str:
    delta = trained.delta_vs_start or 0.0
    return (
        f"Training took it there from {_share(before)}:"
        f" {_difference(delta, trained.p_vs_start_holm, tests)}."
    )


def _headroom(oracle: LeaderboardRow | None) -> str:
    if oracle is None:
        return "How much there is to gain is not known: no oracle was run."
    return (
        f"Shown the evidence (oracle), it answers {_share(oracle)}, which is what looking could"
        " reach."
    )


def _controls(best: LeaderboardRow, own: dict[str, LeaderboardRow]) -> str:
    controls = [row for mode, row in own.items() if _is_control(mode)]
    if not controls:
        return "Whether the crop is what helps is open: no control was run."
    strongest = max(controls, key=_accuracy)
    apart = (strongest.ci_high or 0.0) < (best.ci_low or 0.0)
    verdict = (
        "so what it sees in its crops is what counts"
        if apart
        else "so it is not shown that what it sees in its crops is what counts"
    )
    of = f"the strongest of {len(controls)} controls" if len(controls) > 1 else "the control"
    return f"{of[0].upper()}{of[1:]}, {strongest.mode}, comes to {_share(strongest)}, {verdict}."


def _is_control(mode: str) -> bool:
    chosen = MODES[mode]
    return bool(chosen.goes_by) or (chosen.tool and not chosen.zooms_for_real)


def _accuracy(row: LeaderboardRow) -> float:
    return row.accuracy or 0.0


def _share(row: LeaderboardRow) -> str:
    return f"{share(row.accuracy)} {_interval(row)}"


def _interval(row: LeaderboardRow) -> str:
    return f"[{share(row.ci_low)}, {share(row.ci_high)}]"


def _difference(delta: float, p_value: float | None, tests: int) -> str:
    sure = p_value is not None and p_value < SIGNIFICANT
    corrected = f", corrected for {tests} tests" if tests > 1 else ""
    told = f"{delta:+.3f} ({chance(p_value)}{corrected})"
    return f"a difference of {told}" if sure else f"no difference is shown, {told}"
