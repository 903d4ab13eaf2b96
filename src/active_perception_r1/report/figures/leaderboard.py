"""The main columns of a leaderboard as tables for the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment

from active_perception_r1.report.figures._figure import LeaderboardFigure
from active_perception_r1.scoring.formats import MISSING, chance, share
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow
from active_perception_r1.scoring.looking_tables import necessity_table
from active_perception_r1.storage.files import atomic

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Leaderboard</title>
<style>
:root {
  color-scheme: light dark;
  --line: color-mix(in srgb, CanvasText 18%, Canvas);
  --rule: color-mix(in srgb, CanvasText 45%, Canvas);
}
body { font: 15px/1.5 system-ui, sans-serif; color: CanvasText; background: Canvas; margin: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
thead th { font-weight: 600; border-bottom: 2px solid; }
tbody tr { border-bottom: 1px solid var(--line); }
tbody tr.first:not(:first-child) { border-top: 2px solid var(--rule); }
small { opacity: .75; }
</style>
<table>
<thead><tr>{% for name in columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}<tr{% if loop.changed(row.model) %} class="first"{% endif %}>
<td>{{ row.model }}</td><td>{{ row.mode }}</td><td>{{ row.n }}</td>
<td>{{ row.accuracy | share }}
<small>[{{ row.ci_low | share }}, {{ row.ci_high | share }}]</small></td>
<td>{{ row.delta_baseline | change }} <small>{{ row.p_holm | chance }}</small></td>
<td>{{ row.delta_vs_start | change }} <small>{{ row.p_vs_start_holm | chance }}</small></td>
<td>{{ row.mean('anls') | share }}</td><td>{{ row.zoom_rate | share }}</td>
<td>{{ row.mean('coverage') | share }}</td><td>{{ row.mean('reward') | share }}</td>
<td>{{ row.n_errors }}</td>
</tr>
{% endfor %}</tbody>
</table>
{% if needed %}
<h2>Was the looking needed?</h2>
<table>
<thead><tr>{% for name in needed[0] %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for line in needed %}<tr>{% for cell in line.values() %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
{% for line in notes %}<p>{{ line }}</p>
{% endfor %}{% endif %}
"""
_COLUMNS = (
    *("Model", "Mode", "n", "Accuracy [95 %]", "vs baseline", "vs base", "ANLS"),
    *("Zoom rate", "Coverage", "Reward", "Errors"),
)
_NOTES = (
    "Recall: zoomed, of the questions that the baseline gets wrong and the oracle right. Waste:"
    " zoomed, of those that the baseline gets right.",
    "Faithful: right, with at least half of the evidence in one crop. Tool-only: of the right"
    " answers, those that none of the modes beside it gets right, in which the model sees no crop"
    " of its choice.",
)


def draw(rows: Sequence[LeaderboardRow], output: Path) -> None:
    """Write the tables as an HTML page."""
    environment = Environment(autoescape=True)
    environment.filters.update(share=share, change=_change, chance=chance)
    needed = necessity_table(rows)
    page = environment.from_string(_PAGE).render(
        rows=rows, columns=_COLUMNS, needed=needed, notes=_NOTES
    )
    with atomic(output) as part:
        part.write_text(page, encoding="utf-8")


def _change(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.3f}"


FIGURE = LeaderboardFigure(
    title="leaderboard", category="Results", file="leaderboard.html", draw=draw
)
