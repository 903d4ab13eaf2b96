"""Make benchmarks/RESULTS.md of benchmarks/results/*.json: python benchmarks/render.py

What stands around the tables is written by hand, in benchmarks/RESULTS.template.md. There,
`<!-- figures: PATTERN: COMMAND -->` stands for all results whose names match, and `COMMAND` makes
them; where there are none yet, the page says so. `<!-- value: NAME: WHAT -->` is one figure, with
its spread and the commit that it is from.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from measuring import RESULTS, as_table, described

HERE = Path(__file__).parent
TABLES = re.compile(r"<!-- figures: (\S+): (.+?) -->")
VALUE = re.compile(r"<!-- value: (\S+): (.+?) -->")


def main() -> None:
    template = (HERE / "RESULTS.template.md").read_text(encoding="utf-8")
    page = TABLES.sub(lambda found: tables(found[1], found[2]), template)
    page = VALUE.sub(lambda found: value(found[1], found[2]), page)
    (HERE / "RESULTS.md").write_text(page, encoding="utf-8")


def tables(pattern: str, command: str) -> str:
    paths = sorted(RESULTS.glob(f"{pattern}.json"))
    return "\n\n".join(map(table, paths)) or f"Not measured yet: `{command}`."


def value(name: str, what: str) -> str:
    document = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    figures = {figure["what"]: figure for figure in document["figures"]}
    return f"{described(figures[what])}, {document['commit']}"


def table(path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    when = f"{document['date']}, commit {document['commit']}"
    about = f"`{document['command']}`, {when}: {document['machine']}"
    return f"**{path.stem}**: {about}\n\n{as_table(document['figures'], 'github')}"


if __name__ == "__main__":
    main()
