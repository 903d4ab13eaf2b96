"""lmms-eval's own ANLS and exact match on a file of answers; run by peers.py, beside lmms-eval.

The file holds `given` and `truths` as JSON. For each line on standard input it scores them all, and
prints the scores and the seconds that they took, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from lmms_eval.api.metrics import anls, exact_match_hf_evaluate


def main(source: Path) -> None:
    answers, output = json.loads(source.read_text(encoding="utf-8")), sys.stdout
    sys.stdout = sys.stderr  # what lmms-eval says is no answer
    for _ in sys.stdin:
        print(json.dumps(scored(answers["given"], answers["truths"])), file=output, flush=True)


def scored(given: list[str], truths: list[str]) -> dict[str, object]:
    start = time.perf_counter()
    similarity = [anls([t], [g])["anls"] for g, t in zip(given, truths, strict=True)]
    middle = time.perf_counter()
    # Called for each answer, to tell which ones it accepts.
    options = {"ignore_case": True, "ignore_punctuation": True}
    equal = [
        bool(exact_match_hf_evaluate([g], [t], **options)["exact_match"])
        for g, t in zip(given, truths, strict=True)
    ]
    end = time.perf_counter()
    return {"anls": similarity, "em": equal, "anls_s": middle - start, "em_s": end - middle}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
