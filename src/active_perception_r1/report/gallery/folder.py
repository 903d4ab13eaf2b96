"""The gallery as a folder of files that any browser opens, from a disk or from a server.

Questions, answers and what models write are hostile until shown: they are only in texts inside of
the data, from which the script makes text nodes, and the page's policy lets no other script run.
"""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from active_perception_r1 import report
from active_perception_r1.report.gallery.episodes import Data, Gallery, Index, chunks
from active_perception_r1.report.gallery.pictures import Pictures
from active_perception_r1.storage.files import atomic_folder

ASSETS = files("active_perception_r1.report.gallery") / "assets"


def write_gallery(gallery: Gallery, output: Path) -> None:
    """Write a gallery into the folder `output`, in the place of what is there.

    Raises:
        DataError: see `Gallery`; a page cannot be opened.
    """
    with atomic_folder(output) as folder, as_file(ASSETS) as own, as_file(report.ASSETS) as shared:
        (folder / "data").mkdir()
        index, pictures = Index(), Pictures(folder)
        for number, chunk in enumerate(chunks(gallery, index, pictures)):
            _write(folder, f"questions-{number}", chunk)
        _write(folder, "replies", {"replies": index.replies})
        _write(folder, "index", index.data(gallery))
        for asset in (*own.iterdir(), *shared.iterdir()):
            shutil.copyfile(asset, folder / asset.name)


def _write(folder: Path, name: str, data: Data) -> None:
    """As a script, since a page that is opened from a disk may read nothing else.

    What it hands over is one text, so that no part of the data is ever taken for code.
    """
    text = json.dumps(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    path = folder / "data" / f"{name}.js"
    path.write_text(f'receive("{name}", {text});\n', encoding="utf-8")
