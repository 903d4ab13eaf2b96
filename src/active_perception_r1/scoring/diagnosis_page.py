"""The diagnosis for people; what each share means is documented in `scoring.diagnosis`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from active_perception_r1.scoring.diagnosis_row import HIT, QUANTILES, Diagnosis, Share, TextSize
from active_perception_r1.scoring.formats import MISSING
from active_perception_r1.scoring.looking_tables import Table

_EFFECTS = """\
Shares of all questions. The difference to the baseline is call gain + schema gain - call harm -
schema harm. *Call*: the model saw a crop that it had asked for; *schema*: it did not, and only the
offer of the tool can have changed its answer (after Med, arXiv 2602.01334)."""
_ACCURACY = """\
Accuracy of the episodes without a zoom, with zooms that missed the evidence, and with one that hit
it (at least {hit:.0%} of it in one crop)."""
_DISTRIBUTIONS = """\
Best share of the evidence in one crop, and area of the smallest crop as a share of the page, over
the episodes with a zoom, at the quantiles {quantiles}. Repeats: zoom calls for what an earlier crop
had shown."""
_SIZES = """\
By the height of the evidence in pixels of the first view. Where the text is large enough to be read
there, there is nothing to gain from a zoom."""
_HEADROOM = """\
Of the questions that the baseline gets wrong and {known}: what the mode made of them."""
_KNOWN = {"oracle": "the oracle right", "evidence": "whose evidence is known"}
_NECESSITY = """\
Of the questions that the baseline gets wrong and the oracle right: zoomed (*recall*); of those that
the baseline gets right: zoomed (*waste*); of those whose evidence is known: right, with at least
{hit:.0%} of it in one crop (*faithful*); of the right answers: those that none of the modes beside
gets right, in which the model sees no crop of its choice (*tool only*)."""
SIDES = """\
In brackets: count / of how many, 95 % interval (Wilson; wider where questions share documents)."""


@dataclass(frozen=True, slots=True)
class Section:
    """A question of the diagnosis: what the numbers mean, and the numbers as finished text."""

    title: str
    text: str
    table: Table


def as_page(rows: Sequence[Diagnosis], study: str) -> str:
    """Markdown with a table for each question of the diagnosis."""
    title = f"# Diagnosis of study {study}"
    if not rows:
        return f"{title}\n\nNo mode with a zoom beside its model's baseline.\n"
    parts = [title, SIDES]
    for section in sections(rows):
        parts += [f"## {section.title}", section.text, _formatted(section.table)]
    parts += _left_out(rows)
    return "\n\n".join(parts) + "\n"


def sections(rows: Sequence[Diagnosis]) -> list[Section]:
    """All of them for which there is something to say."""
    shown = ", ".join(f"{quantile:g}" for quantile in QUANTILES)
    sizes = [_name(row) | _size(size) for row in rows for size in row.text_size]
    found = [
        Section("What zooming changed", _EFFECTS, _shares(rows, [row.effects for row in rows])),
        Section(
            "Accuracy by zoom",
            _ACCURACY.format(hit=HIT),
            _shares(rows, [row.accuracy for row in rows]),
        ),
        Section(
            "Was the looking needed?",
            _NECESSITY.format(hit=HIT),
            [_name(row) | _needed(row) for row in rows],
        ),
        Section(
            "Coverage and tightness",
            _DISTRIBUTIONS.format(quantiles=shown),
            [_name(row) | _distribution(row) for row in rows],
        ),
        Section("Need for zoom by text size", _SIZES, sizes),
    ]
    for by, known in _KNOWN.items():
        some = [row for row in rows if row.headroom_by == by]
        text = _HEADROOM.format(known=known)
        found.append(
            Section("Where headroom is lost", text, _shares(some, [row.headroom for row in some]))
        )
    return [section for section in found if section.table]


def _left_out(rows: Sequence[Diagnosis]) -> Iterator[str]:
    for row in rows:
        if row.n_errors:
            yield (
                f"**{row.model}, {row.mode}**: {row.n_errors} questions are left out, since they"
                " ended in an error that is not the model's, here or in the baseline."
            )


def _shares(rows: Sequence[Diagnosis], shares: Sequence[Mapping[str, Share]]) -> Table:
    cells = [{name.replace("_", " "): _cell(each[name]) for name in each} for each in shares]
    return [_name(row) | cell for row, cell in zip(rows, cells, strict=True)]


def _name(row: Diagnosis) -> dict[str, str]:
    return {"Model": row.model, "Mode": row.mode}


def _distribution(row: Diagnosis) -> dict[str, str]:
    return {
        "Coverage": " / ".join(f"{value:.2f}" for value in row.coverage) or MISSING,
        "Smallest crop": " / ".join(f"{value:.3f}" for value in row.area) or MISSING,
        "Repeats": _cell(row.redundant),
    }


def _needed(row: Diagnosis) -> dict[str, str]:
    """Gain and harm are in the table of effects."""
    named = ("recall", "waste", "faithful", "tool_only")
    cells = {
        name.replace("_", " "): _cell(row.necessity[name]) if name in row.necessity else MISSING
        for name in named
    }
    return {**cells, "beside": ", ".join(row.tool_only_beside)}


def _size(size: TextSize) -> dict[str, str]:
    return {
        "Pixels": f"{size.low:g} up" if size.high is None else f"{size.low:g} to {size.high:g}",
        "baseline": _cell(size.baseline),
        "this mode": _cell(size.mode),
        "zoomed": _cell(size.zoomed),
    }


def _cell(share: Share) -> str:
    if share.share is None:
        return f"{MISSING} (0 / 0)"
    return (
        f"{share.share:.3f} ({share.count} / {share.of}, {share.ci_low:.3f} to {share.ci_high:.3f})"
    )


def _formatted(table: Table) -> str:
    return tabulate(table, headers="keys", tablefmt="github", disable_numparse=True)
