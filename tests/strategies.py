"""Hypothesis strategies for the nouns of the core."""

from __future__ import annotations

from hypothesis import strategies as st

from active_perception_r1.geometry import Box
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


refusals = st.sampled_from(
    [
        ToolStatus.MALFORMED_ZOOM,
        ToolStatus.INVALID_BBOX,
        ToolStatus.OUT_OF_BOUNDS,
        ToolStatus.TOO_SMALL,
        ToolStatus.ZOOM_LIMIT_REACHED,
    ]
)


@st.composite
def traces(draw: st.DrawFn) -> tuple[Step, ...]:
    """Zoom calls of one episode, in order, with redundancy as the episode would have marked it."""
    from active_perception_r1.envs.zoom_simulator import is_redundant

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
