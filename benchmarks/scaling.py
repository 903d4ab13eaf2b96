"""How the stages around the models grow: python benchmarks/scaling.py

With the number of samples: slice, scoring of two modes, leaderboard with necessity and cost,
diagnosis and the study's page, each as the command that the pipeline runs, time and peak memory.
With the number of models: leaderboard and the planning of the pipeline. The growth exponent g of
the last step says that the time grows as (number)^g.

Pages are drawn by this package, 500 of them, made small (about 1 KB, what is measured is not their
pixels) and repeated under new names, five questions a document; predictions are made up
(a right answer and a box near the evidence in half of the cases), so that no model is run.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from measuring import Figure, Run, measured, ratios, report
from PIL import Image

from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.download import download
from active_perception_r1.data.questions import SCHEMA
from active_perception_r1.data.samples import read_slice
from active_perception_r1.geometry import Box
from active_perception_r1.modes import ACTIVE, BASELINE, MODES
from active_perception_r1.records import Episode, Sample, Step, ToolStatus, Turn
from active_perception_r1.storage.rows import RowWriter, read_rows

REPOSITORY = Path(__file__).parent.parent
PAGES = 500
SAMPLES = (1_000, 10_000, 100_000)
QUESTIONS_OF_A_DOCUMENT = 5
SIDE = 48  # of a page in pixels
MODELS = (1, 5, 20)
SAMPLES_OF_MODELS = 1_000
REPEATS = 3
JOBS = 2 * MODELS[-1] * len(MODES) + 12  # of a study with the most models
EMPTY = f"""
rule all:
    input: expand("made/{{i}}", i=range({(JOBS - 2) // 2})), "board"
rule infer:
    output: "kept/{{i}}"
    shell: "touch {{output}}"
rule score:
    input: "kept/{{i}}"
    output: "made/{{i}}"
    shell: "touch {{output}}"
rule leaderboard:
    input: expand("made/{{i}}", i=range({(JOBS - 2) // 2}))
    output: "board"
    shell: "touch {{output}}"
"""
STAGES = ("slice", "score", "leaderboard", "diagnosis", "page")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = folder / "pages" / "test.parquet"
        download(SyntheticDataset(source="synthetic", questions={"test": PAGES}), "test", pages)
        figures = [*sample_figures(folder, pages), *model_figures(folder)]
    report("scaling", figures)


def sample_figures(folder: Path, pages: Path) -> list[Figure]:
    """Seconds and MB of every stage at every number of samples."""
    found = {samples: stages(folder / str(samples), pages, samples) for samples in SAMPLES}
    figures = []
    for stage in STAGES:
        for samples in SAMPLES:
            figures.append(
                Figure(f"{stage}, {samples:,} samples, s", found[samples][stage].seconds)
            )
        times = [found[samples][stage].seconds for samples in SAMPLES]
        figures.append(Figure(f"{stage}, growth exponent", exponent(SAMPLES, times), bar="<= 1.05"))
    for samples in SAMPLES:
        total = sum(run.seconds for run in found[samples].values())
        cpu = sum(run.cpu for run in found[samples].values())
        peak = max(run.megabytes for run in found[samples].values())
        last = samples == SAMPLES[-1]
        figures.append(Figure(f"all of it, {samples:,} samples, s", total, bar="< 120" * last))
        figures.append(Figure(f"all of it, {samples:,} samples, processor s", cpu))
        figures.append(Figure(f"peak memory, {samples:,} samples, MB", peak, bar="< 1,500" * last))
    return figures


def stages(folder: Path, pages: Path, samples: int) -> dict[str, Run]:
    """What each stage took; leaves the score tables in `folder`."""
    dataset = repeated(pages, folder / "dataset.parquet", samples)
    slice_path = folder / "slice.parquet"
    config = configured(folder, ["m"], samples)
    found = {
        "slice": measured(
            command("sample-slice", config=config, dataset=dataset, output=slice_path)
        )
    }
    scored = []
    for mode in (BASELINE, ACTIVE):
        predictions = predict(slice_path, mode, folder / f"{mode}.jsonl")
        output = folder / f"{mode}.parquet"
        given = {"predictions": predictions, "slice": slice_path, "output": output}
        scored.append(measured(command("score", config=config, **given)))
    found["score"] = Run(
        sum(run.seconds for run in scored),
        sum(run.cpu for run in scored),
        max(run.megabytes for run in scored),
    )
    board = leaderboard_command(folder, ["m"], [BASELINE, ACTIVE])
    found["leaderboard"] = measured(board)
    found["diagnosis"] = measured(["active-perception", "diagnose", *board[2:]])
    made = {name: folder / "board" / f"{name}.json" for name in ("leaderboard", "diagnosis")}
    page = command("page", config=config, output=folder / "index.html", **made)
    found["page"] = measured([*page, "--figures"])
    return found


def model_figures(folder: Path) -> list[Figure]:
    """Leaderboards of more and more models, all with the answers of one; and their planning."""
    tables, modes = folder / str(SAMPLES_OF_MODELS), list(MODES)
    figures, boards, plans = [], [], []
    for models in MODELS:
        names = [f"m{i}" for i in range(models)]
        boards.append(measured(leaderboard_command(tables, names, modes)))
        plans.append(measured(plan_command(folder, names)))
    for title, found in (("leaderboard", boards), ("planning the pipeline", plans)):
        for models, run in zip(MODELS, found, strict=True):
            what = f"{title}, {models} models in {len(modes)} modes"
            figures += [Figure(f"{what}, s", run.seconds), Figure(f"{what}, MB", run.megabytes)]
        times = [run.seconds for run in found]
        figures.append(Figure(f"{title}, growth exponent", exponent(MODELS, times)))
    ours = [measured(plan_command(folder, names)).cpu for _ in range(REPEATS)]
    empty = [measured(empty_plan_command(folder)).cpu for _ in range(REPEATS)]
    what = f"planning {JOBS} jobs of {MODELS[-1]} models, processor time over that of an empty"
    figures.append(ratios(f"{what} Snakefile", ours, empty, bar="<= 1.3"))
    return figures


def command(name: str, **options: str | Path) -> list[str | Path]:
    words: list[str | Path] = ["active-perception", name, "--study", "s"]
    for option, value in options.items():
        words += [f"--{option}", value]
    return words


def leaderboard_command(
    tables: Path, models: Sequence[str], modes: Sequence[str]
) -> list[str | Path]:
    """A mode without a table of its own gets that of `active`."""
    scores = []
    for model in models:
        for mode in modes:
            score = tables / "scores" / model / f"{mode}.parquet"
            score.parent.mkdir(parents=True, exist_ok=True)
            score.unlink(missing_ok=True)
            score.symlink_to(tables / f"{BASELINE if mode == BASELINE else ACTIVE}.parquet")
            scores.append(score)
    config = configured(tables, models)
    start = command("leaderboard", config=config, output=tables / "board")
    return [*start, "--scores", *scores]


def plan_command(folder: Path, models: Sequence[str]) -> list[str | Path]:
    """A dry run of a study with these models."""
    options = ["--snakefile", REPOSITORY / "Snakefile", "--directory", folder / "plan"]
    config = configured(folder, models)
    return ["snakemake", "--dry-run", "--cores", "2", *options, "--configfile", config]


def empty_plan_command(folder: Path) -> list[str | Path]:
    """A dry run of as many jobs as a study with the most models has, by rules that do nothing."""
    snakefile = folder / "empty" / "Snakefile"
    snakefile.parent.mkdir(exist_ok=True)
    snakefile.write_text(EMPTY, encoding="utf-8")
    return [
        "snakemake",
        "--dry-run",
        "--cores",
        "2",
        "--directory",
        snakefile.parent,
        *("--snakefile", snakefile),
    ]


def configured(folder: Path, models: Sequence[str], samples: int = 300) -> Path:
    """A configuration of study `s` with these models, all of which are the one that ships."""
    shipped = yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text(encoding="utf-8"))
    study = {**shipped["studies"]["demo"], "models": list(models), "slice": {"samples": samples}}
    entry = shipped["models"]["tiny-zoom-vlm"]
    entry = {**entry, "id": str(REPOSITORY / entry["id"])}
    config = {"study": "s", "studies": {"s": study}, "models": dict.fromkeys(models, entry)}
    path = folder / f"config{len(models)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def repeated(pages: Path, output: Path, samples: int) -> Path:
    """A split of so many rows: the pages again and again, under new names."""
    output.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**row, "image": small(row["image"])} for row in read_rows(pages, SCHEMA.names)]
    with RowWriter(output, SCHEMA) as writer:
        for i in range(samples):
            row = rows[i % len(rows)]
            writer.add(
                {**row, "id": f"{row['id']}-{i}", "doc_id": f"{i // QUESTIONS_OF_A_DOCUMENT}"}
            )
    about = pages.with_suffix(".json").read_text(encoding="utf-8")
    output.with_suffix(".json").write_text(about, encoding="utf-8")
    return output


def small(page: bytes) -> bytes:
    with Image.open(io.BytesIO(page)) as image:
        image.resize((SIDE, SIDE)).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def predict(slice_path: Path, mode: str, output: Path) -> Path:
    rng = random.Random(str(mode))
    with output.open("w", encoding="utf-8") as lines:
        for sample in read_slice(slice_path, images=False):
            lines.write(episode(sample, mode, rng).to_json() + "\n")
    return output


def episode(sample: Sample, mode: str, rng: random.Random) -> Episode:
    """One reply, or a zoom and a reply; right half of the time in `active`."""
    turn = Turn("0" * 64, f"<answer>{sample.answers[0]}</answer>", "stop", 60, 12, 0.01)
    answer = sample.answers[0] if mode == ACTIVE and rng.random() < 0.5 else "none"
    plain = Episode(
        sample.id, mode, "m", "0" * 40, 0, (turn,), (), answer, ToolStatus.ANSWERED_WITHOUT_ZOOM
    )
    if mode == BASELINE:
        return replace(plain, tool_status=ToolStatus.ANSWERED)
    box = sample.evidence[0].box.expanded(0.05) if rng.random() < 0.5 else Box(0.6, 0.6, 0.9, 0.9)
    call = f'<zoom_roi x0="{box.x0}" y0="{box.y0}" x1="{box.x1}" y1="{box.y1}"/>'
    executed = {"requested": box, "executed": box, "crop_size": (112, 112), "shown": True}
    step = Step(0, "zoom_roi", call, ToolStatus.ZOOM_EXECUTED, **executed)  # type: ignore[arg-type]
    return replace(
        plain,
        turns=(replace(turn, text=call), turn),
        steps=(step,),
        tool_status=ToolStatus.ANSWERED,
    )


def exponent(numbers: Sequence[int], values: Sequence[float]) -> float:
    """Of the last step, where what a process costs to start matters least."""
    (n1, n2), (v1, v2) = numbers[-2:], values[-2:]
    return math.log(v2 / v1) / math.log(n2 / n1)


if __name__ == "__main__":
    main()
