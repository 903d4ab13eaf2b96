"""Hypothesis strategies for the nouns of the core."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from active_perception_r1.geometry import Box, is_redundant
from active_perception_r1.records import Evidence, Step, ToolStatus

unit = st.floats(0.0, 1.0, allow_nan=False, width=32)


@st.composite
def boxes(draw: st.DrawFn, minimum: float = 0.01) -> Box:
    """A box inside the page with sides of at least `minimum`."""
    width = draw(st.floats(minimum, 1.0))
    height = draw(st.floats(minimum, 1.0))
    x0 = draw(unit) * (1 - width)
    y0 = draw(unit) * (1 - height)
    return Box(x0, y0, min(1.0, x0 + width), min(1.0, y0 + height))


@st.composite
def evidence_sets(draw: st.DrawFn) -> tuple[Evidence, ...]:
    """No evidence, or a few regions, some of them alternatives of one another."""
    regions = st.builds(
        Evidence,
        label=st.sampled_from(["answer", "unit"]),
        box=boxes(),
        weight=st.floats(0.1, 3.0),
    )
    return tuple(draw(st.lists(regions, max_size=4)))


def zoom_step(
    box: Box | None,
    status: ToolStatus = ToolStatus.ZOOM_EXECUTED,
    *,
    shown: bool = True,
    redundant: bool = False,
) -> Step:
    """A step as the episode would record it; one without a box was refused."""
    return Step(
        turn=0,
        syntax="zoom_roi",
        raw="<zoom_roi/>",
        status=status,
        executed=box,
        crop_size=(112, 112) if box else None,
        shown=shown and box is not None,
        redundant=redundant,
    )


REFUSALS = (
    ToolStatus.MALFORMED_ZOOM,
    ToolStatus.INVALID_BBOX,
    ToolStatus.OUT_OF_BOUNDS,
    ToolStatus.TOO_SMALL,
    ToolStatus.ZOOM_LIMIT_REACHED,
)
refusals = st.sampled_from(REFUSALS)


@st.composite
def traces(draw: st.DrawFn) -> tuple[Step, ...]:
    """Zoom calls of one episode, in order, with redundancy as the episode would have marked it."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            earlier = [step.executed for step in steps if step.executed is not None]
            box = draw(st.sampled_from(earlier) | boxes()) if earlier else draw(boxes())
            shown = draw(st.booleans())
            steps.append(zoom_step(box, shown=shown, redundant=is_redundant(box, earlier)))
        else:
            steps.append(zoom_step(None, draw(refusals)))
    return tuple(steps)


# The same in bulk. Hypothesis builds and shrinks a case in about a millisecond; a seed of its
# choosing and these make hundreds in that time, for searches that need many cases.

Call = Box | ToolStatus


def random_box(rng: random.Random) -> Box:
    x0, y0 = rng.random() * 0.95, rng.random() * 0.95
    return Box(x0, y0, x0 + (1 - x0) * rng.random(), y0 + (1 - y0) * rng.random())


def random_calls(rng: random.Random) -> list[Call]:
    """What a model might do in an episode: zooms, some of them repeated, and refused calls."""
    calls: list[Call] = []
    for _ in range(rng.randrange(5)):
        choice = rng.random()
        if calls and choice < 0.2:
            calls.append(rng.choice(calls))
        else:
            calls.append(random_box(rng) if choice < 0.8 else rng.choice(REFUSALS))
    return calls


def random_evidence(rng: random.Random) -> list[Evidence]:
    return [
        Evidence(rng.choice("ab"), random_box(rng), rng.choice([0.5, 1.0, 2.0]))
        for _ in range(rng.randrange(4))
    ]


def recorded(calls: Sequence[Call]) -> list[Step]:
    """The steps that an episode would have recorded for these calls, all crops shown."""
    steps: list[Step] = []
    for call in calls:
        if isinstance(call, Box):
            earlier = [step.executed for step in steps if step.executed is not None]
            steps.append(zoom_step(call, redundant=is_redundant(call, earlier)))
        else:
            steps.append(zoom_step(None, call))
    return steps
