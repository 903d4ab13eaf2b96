"""The page itself: one file without a script that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from active_perception_r1 import report
from active_perception_r1.config import RESULTS
from active_perception_r1.config.engines import TrainingConfig
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.report.figures import Drawn
from active_perception_r1.report.page.findings import findings
from active_perception_r1.report.page.links import link
from active_perception_r1.scoring import diagnosis_page, tables
from active_perception_r1.scoring.diagnosis_row import Diagnosis
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow
from active_perception_r1.scoring.looking_tables import (
    COST,
    NECESSITY,
    Table,
    cost_table,
    necessity_table,
    need_table,
)
from active_perception_r1.storage.files import atomic

_LEFT_OUT = {"Score vs baseline", "ANLS vs baseline", "Strict"}
ASSETS = files("active_perception_r1.report.page") / "assets"
_MARKS = ((r"\*\*(.+?)\*\*", r"<strong>\1</strong>"), (r"`(.+?)`", r"<code>\1</code>"))
_EMPHASIS = (r"(?<!\*)\*([^*]+)\*(?!\*)", r"<em>\1</em>")


@dataclass(frozen=True, slots=True)
class Cell:
    """Finished text, and the address of the episodes behind it."""

    text: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Grouped:
    """A table whose rows stand below the model that they are about.

    Attributes:
        columns: but for that of the model.
        models: the model, and its rows: the mode, and a cell for each of the other columns.
    """

    title: str
    columns: Sequence[str]
    models: Sequence[tuple[str, Sequence[tuple[str, Sequence[Cell]]]]]
    notes: Sequence[str] = ()


def write_page(
    plan: StudyPlan,
    rows: Sequence[LeaderboardRow],
    diagnosis: Sequence[Diagnosis],
    drawn: Sequence[Drawn],
    output: Path,
    results: Path | None = None,
    galleries: Mapping[str, Path] | None = None,
) -> None:
    """Write the page of a study, which leads to the folder `gallery` beside it.

    Args:
        drawn: its figures, in the order in which they are shown.
        results: folder of the leaderboard's files and the manifest; by default the one above the
            page's.
        galleries: for each training run the folder of its gallery, if there is one; by default
            where the pipeline leaves them.
    """
    results = output.parent.parent if results is None else results
    if galleries is None:
        galleries = {name: training_gallery(RESULTS, name, run) for name, run in plan.runs.items()}
    sheets = (report.ASSETS / "palette.css", ASSETS / "page.css")
    style = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(prose=_prose, picture=_picture)
    template = environment.from_string((ASSETS / "page.html").read_text(encoding="utf-8"))
    text = template.render(
        study=plan.name,
        questions=max((row.n for row in rows), default=0),
        models=plan.study.variants,
        modes=plan.study.modes,
        findings=findings(rows, plan.started_from),
        leaderboard=_grouped("Leaderboard", _main(rows), [*tables.claims(rows)]),
        notes=[*tables.NOTES.split("\n- "), *tables.warnings(rows)],
        layouts=_layouts(rows),
        looking=_looking(rows),
        diagnosis=[
            _grouped(section.title, section.table, [section.text])
            for section in diagnosis_page.sections(diagnosis)
        ],
        sides=diagnosis_page.SIDES,
        figures=[figure for figure in drawn if not figure.run],
        training=[
            (name, galleries.get(name), [f for f in drawn if f.run == name]) for name in plan.runs
        ],
        results=results,
        beside=lambda path: _beside(path, output),
        ended=_grouped("How episodes ended", tables.status_table(rows), kind="status"),
        style=Markup(style),
        style_hash=f"sha256-{digest}",
    )
    with atomic(output) as part:
        part.write_text(text, encoding="utf-8")


def training_gallery(results: Path, name: str, run: TrainingConfig) -> Path:
    """The folder of the gallery of a training run, which lies with the study that it belongs to.

    Args:
        results: folder of the results of all studies.
    """
    return results / run.study / "report" / f"gallery.{name}"


def _beside(path: Path, page: Path) -> str:
    """As a link from the page."""
    return quote(Path(relpath(path, page.parent)).as_posix())


def _main(rows: Sequence[LeaderboardRow]) -> Table:
    """The main columns; the others are in the files that the page leads to."""
    return [
        {name: cell for name, cell in row.items() if name not in _LEFT_OUT}
        for row in tables.results_table(rows)
    ]


def _layouts(rows: Sequence[LeaderboardRow]) -> Grouped | None:
    table = tables.layout_table(rows)
    if not table:
        return None
    return _grouped("Accuracy by layout", table, [tables.layout_power(rows)], "layout")


def _looking(rows: Sequence[LeaderboardRow]) -> list[Grouped]:
    """Was it needed, and what did it cost."""
    found = (
        _grouped("Was the looking needed?", necessity_table(rows), NECESSITY.split("\n- ")),
        _grouped("What it cost, an episode", cost_table(rows), COST.split("\n- ")),
        _grouped("By whether a zoom is needed", need_table(rows)),
        _grouped("Accuracy over seeds", tables.seed_table(rows)),
    )
    return [table for table in found if table.models]


def _grouped(title: str, table: Table, notes: Sequence[str] = (), kind: str = "") -> Grouped:
    columns = [name for name in (table[0] if table else ()) if name not in ("Model", "Mode")]

    def cells(row: dict[str, str]) -> list[Cell]:
        return [Cell(row[name], link(row["Model"], row["Mode"], name, kind)) for name in columns]

    models = [
        (model, [(row["Mode"], cells(row)) for row in of_model])
        for model, of_model in groupby(table, lambda row: row["Model"])
    ]
    return Grouped(title, columns, models, notes)


def _prose(text: str) -> Markup:
    """The little Markdown that notes are written in, as HTML.

    >>> _prose("- **Recall**: a < b")
    Markup('<strong>Recall</strong>: a &lt; b')
    """
    shown = str(escape(text.removeprefix("- ")))
    for pattern, replacement in (*_MARKS, _EMPHASIS):
        shown = re.sub(pattern, replacement, shown, flags=re.DOTALL)
    return Markup(shown)


def _picture(path: Path) -> str:
    """A figure as part of the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
