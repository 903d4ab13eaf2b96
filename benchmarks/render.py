"""Make benchmarks/RESULTS.md of benchmarks/results/*.json: python benchmarks/render.py

What stands around the tables is written by hand, in benchmarks/RESULTS.template.md.
"""

from __future__ import annotations

import json
from pathlib import Path

from measuring import RESULTS, as_table

HERE = Path(__file__).parent


def main() -> None:
    template = (HERE / "RESULTS.template.md").read_text(encoding="utf-8")
    sections = [section(path) for path in sorted(RESULTS.glob("*.json"))]
    page = template.replace("<!-- figures -->", "\n\n".join(sections))
    (HERE / "RESULTS.md").write_text(page, encoding="utf-8")


def section(path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    about = f"`{document['command']}`, {document['date']}: {document['machine']}"
    return f"### {path.stem}\n\n{about}\n\n{as_table(document['figures'], 'github')}"


if __name__ == "__main__":
    main()
