"""A killed download goes on where it was, and ends as if it had not been killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from active_perception_r1.config.sources.parquet import ParquetDataset
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data import questions
from active_perception_r1.data.download import ROWS_PER_CHUNK, download
from active_perception_r1.data.sources import synthetic
from active_perception_r1.errors import DataError
from tests.configured import configure_dataset
from tests.docvqa_files import docvqa_row, png, write_rows

pytestmark = pytest.mark.slow

ROWS = 2 * ROWS_PER_CHUNK + 5
PAGES = SyntheticDataset(source="synthetic", seed=3, questions={"test": ROWS})

# The command, which kills itself in the given call, counted from 1, of a function of a module.
KILLED = """
import os, signal, sys
from importlib import import_module
from active_perception_r1.cli import main

place, name, call, *arguments = sys.argv[1:]
module = import_module(place)
function, calls = getattr(module, name), []

def deadly(*arguments, **options):
    calls.append(arguments)
    if len(calls) == int(call):
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*arguments, **options)

setattr(module, name, deadly)
main(arguments)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "test.parquet"
    download(PAGES, "test", output)
    assert sorted(path.name for path in output.parent.iterdir()) == ["test.json", "test.parquet"]
    return output


@pytest.mark.parametrize(
    ("module", "name", "call", "saved"),
    [
        ("sources.synthetic", "render_page", ROWS_PER_CHUNK + 1, ROWS_PER_CHUNK),
        ("sources.synthetic", "render_page", ROWS, 2 * ROWS_PER_CHUNK),
        ("download", "_join", 1, ROWS),
        # The rows are all written; what is known about them is not.
        ("download", "sha256_of", 1, ROWS),
    ],
)
def test_pages_that_are_saved_are_not_drawn_again(
    module: str,
    name: str,
    call: int,
    saved: int,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, partial = tmp_path / "out" / "test.parquet", tmp_path / "partial"
    options = {
        "config": configure_dataset(tmp_path, PAGES),
        "study": "s",
        "split": "test",
        "output": output,
        "partial": partial,
    }
    arguments = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
    place = f"active_perception_r1.data.{module}"
    command = [sys.executable, "-c", KILLED, place, name, str(call), "download", *arguments]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    drawn: list[str] = []
    draw = synthetic.render_page
    monkeypatch.setattr(
        synthetic,
        "render_page",
        lambda rng, layout, **print: drawn.append(layout) or draw(rng, layout, **print),
    )
    download(PAGES, "test", output, partial)
    assert len(drawn) == ROWS - saved
    assert output.read_bytes() == undisturbed.read_bytes()
    about = output.with_suffix(".json")
    assert about.read_bytes() == undisturbed.with_suffix(".json").read_bytes()
    assert sorted(output.parent.iterdir()) == [about, output]
    assert not partial.exists()


def test_rows_are_not_read_again_when_the_user_has_said_their_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [[100.0, 100.0, 300.0, 130.0]] * 3  # thousandths or pixels
    rows = [docvqa_row(image=png(1000, 1000), bounding_boxes=boxes)]
    dataset = ParquetDataset(source="parquet", path=write_rows(tmp_path / "all.parquet", rows))
    with pytest.raises(DataError, match="set box_unit"):
        download(dataset, "test", tmp_path / "test.parquet")
    monkeypatch.setattr(questions, "as_row", lambda question: pytest.fail("read again"))
    told = dataset.model_copy(update={"box_unit": "pixels"})
    download(told, "test", tmp_path / "test.parquet")
