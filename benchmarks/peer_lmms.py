"""lmms-eval's own answer metrics on a file of replies; run by peers.py, beside lmms-eval.

The file holds rows of `text`, `answers`, `options` as JSON. For each line on standard input every
metric scores them all; printed are, by metric, its values and the seconds that they took, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from lmms_eval.api.metrics import anls, exact_match_hf_evaluate
from lmms_eval.tasks.chartqa.utils import relaxed_correctness
from lmms_eval.tasks.hrbench.hrbench_evals import HRBenchEval
from lmms_eval.tasks.textvqa.utils import textvqa_process_results
from lmms_eval.tasks.vstar_bench.utils import extract_answer_letter

Row = dict[str, Any]
_NO_KEY = HRBenchEval(api_key="")


def _exact_match(row: Row) -> bool:
    options = {"ignore_case": True, "ignore_punctuation": True}
    return bool(
        exact_match_hf_evaluate([row["text"]], row["answers"][:1], **options)["exact_match"]
    )


def _vqa(row: Row) -> float:
    document = {"question_id": 0, "answers": list(row["answers"])}  # it writes into the list
    return float(textvqa_process_results(document, [row["text"]])["exact_match"])


def _hrbench(row: Row) -> str | None:
    options = dict(zip(ascii_uppercase, row["options"], strict=False))
    return _NO_KEY.can_infer(row["text"], options) or None


METRICS: Mapping[str, Callable[[Row], Any]] = {
    "exact_match": _exact_match,
    "anls": lambda row: anls(row["answers"][:1], [row["text"]])["anls"],
    "relaxed": lambda row: relaxed_correctness(row["text"], row["answers"][0]),
    "vqa": _vqa,
    "vstar": lambda row: extract_answer_letter(row["text"]),
    "hrbench": _hrbench,
}


def main(source: Path) -> None:
    rows, output = json.loads(source.read_text(encoding="utf-8")), sys.stdout
    sys.stdout = sys.stderr  # what lmms-eval says is no answer
    for _ in sys.stdin:
        found = {name: _scored(metric, rows) for name, metric in METRICS.items()}
        print(json.dumps(found), file=output, flush=True)


def _scored(metric: Callable[[Row], Any], rows: list[Row]) -> dict[str, Any]:
    start = time.perf_counter()
    values = [metric(row) for row in rows]
    return {"values": values, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
