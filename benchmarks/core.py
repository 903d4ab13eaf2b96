"""Speed of the perception core, and how well evidence is found: python benchmarks/core.py

    --receipts FILE   a parquet file in the DocVQA-1200 layout, for the evidence figures

Each speed is the best of three runs on one core. Figures are compared with nothing but the bars
given here and the pure-Python ANLS below, which follows lmms-eval's published formula.
"""

from __future__ import annotations

import argparse
import random
import string
import time
from pathlib import Path
from typing import Any

from measuring import Figure, best_of, report

from active_perception_r1.data.boxes import page_boxes
from active_perception_r1.data.evidence import locate_evidence
from active_perception_r1.geometry import Box, iou
from active_perception_r1.records import Evidence, Step, ToolStatus
from active_perception_r1.rewards.active_vision_reward import trace_reward
from active_perception_r1.storage.rows import read_rows
from active_perception_r1.tasks.anls import anls_lmms
from active_perception_r1.utils.trace_parser import SYNTAXES, Frame, parse_actions, parse_answer

ANLS_PAIRS = 100_000
FRAME = Frame(page_size=(1700, 2200), view_size=(850, 1100))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--receipts", type=Path)
    options = parser.parse_args()
    rows = [reward_row(), *parser_rows(), *anls_rows()]
    if options.receipts:
        rows += evidence_rows(options.receipts)
    report("core", [Figure(what, value, bar=bar) for what, value, bar in rows])


Row = tuple[str, float, str]


def reward_row() -> Row:
    """Traces of three zooms over two alternatives of evidence."""
    rng = random.Random(0)
    traces = [[_random_step(rng) for _ in range(3)] for _ in range(5_000)]
    evidence = [Evidence("answer", _random_box(rng)) for _ in range(2)]
    seconds = best_of(lambda: [trace_reward(trace, True, evidence, True) for trace in traces])
    return ("reward, traces/s", len(traces) / seconds, ">= 20,000")


def parser_rows() -> list[Row]:
    """A real-looking reply, and the worst of a set of hostile texts at three sizes."""
    reply = '<think>The total is small.</think> <zoom_roi x0="0.1" y0="0.2" x1="0.5" y1="0.6"/>\n'
    text = reply * 10_000
    seconds = best_of(lambda: parse_actions(text, SYNTAXES["zoom_roi"], FRAME))
    hostile = {size: max(_hostile_seconds(size)) for size in (62_500, 250_000, 1_000_000)}
    small, _, large = hostile.values()
    return [
        ("parser, MB/s", len(text) / 1e6 / seconds, ""),
        ("parser, worst hostile MB, s", large, "< 0.5"),
        ("parser, growth over 16x text", large / small, "about 16"),
    ]


def _hostile_seconds(size: int) -> list[float]:
    patterns = ["<zoom_roi ", '<zoom_roi x0="', "<tool_call>{", "<box>[", "</answer><answer>", "a"]
    found = []
    for pattern in patterns:
        text = pattern * (size // len(pattern))
        for syntax in SYNTAXES.values():
            found.append(best_of(lambda: (parse_actions(text, syntax, FRAME), parse_answer(text))))  # noqa: B023
    return found


def anls_rows() -> list[Row]:
    """Against the pure-Python form."""
    given, right = noisy_answers(ANLS_PAIRS)
    truths = [[truth] for truth in right]
    start = time.perf_counter()
    found = list(map(anls_lmms, given, truths))
    ours = time.perf_counter() - start
    start = time.perf_counter()
    plain = [pure_python_anls(p, t[0]) for p, t in zip(given, truths, strict=True)]
    theirs = time.perf_counter() - start
    worst = max(abs(a - b) for a, b in zip(found, plain, strict=True))
    return [
        (f"ANLS, {ANLS_PAIRS} pairs, s", ours, ""),
        ("ANLS, pure Python, s", theirs, ""),
        ("ANLS, speed-up", theirs / ours, ">= 20"),
        ("ANLS, largest difference", float(worst), "0"),
    ]


def noisy_answers(count: int) -> tuple[list[str], list[str]]:
    """Answers with a few wrong letters, and the true ones."""
    rng = random.Random(1)
    truths, given = [], []
    for _ in range(count):
        truth = "".join(rng.choices(string.ascii_letters + " ", k=rng.randint(3, 30)))
        letters = [c if rng.random() > 0.15 else rng.choice(string.ascii_letters) for c in truth]
        truths.append(truth)
        given.append("".join(letters))
    return given, truths


def pure_python_anls(prediction: str, answer: str) -> float:
    """lmms-eval's form, with the edit distance by the textbook recurrence, as it computes it."""
    a, b = (" ".join(text.strip().lower().split()) for text in (answer, prediction))
    distances = list(range(len(a) + 1))
    for i2, c2 in enumerate(b):
        row = [i2 + 1]
        for i1, c1 in enumerate(a):
            if c1 == c2:
                row.append(distances[i1])
            else:
                row.append(1 + min(distances[i1], distances[i1 + 1], row[-1]))
        distances = row
    score = 1 - distances[-1] / max(len(answer), len(prediction), 1)
    return score if score >= 0.5 else 0.0


def evidence_rows(receipts: Path) -> list[Row]:
    """Blind search against the words that the file itself verifies as the answer's."""
    hits, labelled, found, seconds = 0, 0, 0, 0.0
    rows = list(read_rows(receipts, ["words", "bounding_boxes", "answers", "answer"]))
    for row in rows:
        words, answers = row["words"], row["answers"]
        boxes = page_boxes(row["bounding_boxes"], "unit", (1, 1))
        start = time.perf_counter()
        evidence = locate_evidence(words, boxes, answers)
        seconds += time.perf_counter() - start
        found += bool(evidence)
        if truth := _labelled_box(row, boxes):
            labelled += 1
            hits += any(iou(region.box, truth) >= 0.5 for region in evidence)
    return [
        ("evidence, receipts with any, share", found / len(rows), ">= 0.95"),
        ("evidence, rows that can be labelled", labelled, ""),
        ("evidence, IoU >= .5 with the true words, share", hits / labelled, ">= 0.97"),
        ("evidence, ms a sample", 1000 * seconds / len(rows), ""),
    ]


def _labelled_box(row: dict[str, Any], boxes: list[Box]) -> Box | None:
    """The union of the words that the file names as the answer's, where they are just that."""
    given = row["answer"]
    if not given or not given["matched_text"]:
        return None
    text = given["matched_text"].split()
    start = int(given["start"])
    words = row["words"][start : start + len(text)]
    if [word.lower() for word in words] != [word.lower() for word in text]:
        return None
    union = boxes[start]
    for box in boxes[start : start + len(text)]:
        union = union.union(box)
    return union


def _random_box(rng: random.Random) -> Box:
    x0, y0 = rng.random() * 0.8, rng.random() * 0.8
    return Box(x0, y0, x0 + 0.2 * rng.random(), y0 + 0.2 * rng.random())


def _random_step(rng: random.Random) -> Step:
    box = _random_box(rng)
    return Step(
        0, "zoom_roi", "", ToolStatus.ZOOM_EXECUTED, requested=box, executed=box, shown=True
    )


if __name__ == "__main__":
    main()
