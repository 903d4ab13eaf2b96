"""lmms-eval's own ANLS and exact match on a file of answers; run by peers.py, beside lmms-eval.

Reads and writes JSON: `given` and `truths` become the scores and the seconds that they took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from lmms_eval.api.metrics import anls, exact_match_hf_evaluate


def main(source: Path, output: Path) -> None:
    answers = json.loads(source.read_text(encoding="utf-8"))
    given, truths = answers["given"], answers["truths"]
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
    found = {"anls": similarity, "em": equal, "anls_s": middle - start, "em_s": end - middle}
    output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
