"""Which weights exactly an entry means, and how its processor keeps images as sized."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from active_perception_r1.errors import BackendError
from active_perception_r1.families import FAMILIES
from active_perception_r1.storage.fingerprint import folder_fingerprint
from active_perception_r1.storage.hub import resolve_commit

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Weights:
    """A model folder or hub repository at one version.

    Attributes:
        commit: to load from the hub; None for a local folder.
        revision: what results record: the commit, or a fingerprint of the folder.
    """

    id: str
    commit: str | None
    revision: str


def find_weights(settings: ModelConfig) -> Weights:
    """The version of the entry's model that is used.

    Raises:
        BackendError: it is not a folder, and the hub does not give it.
    """
    folder = Path(settings.id)
    if folder.is_dir():
        return Weights(settings.id, None, folder_fingerprint(folder))
    commit = resolve_commit("model", settings.id, settings.revision)
    return Weights(settings.id, commit, commit)


def require_family(settings: ModelConfig, model_type: str) -> None:
    """Check that the loaded model is what its entry says.

    Raises:
        BackendError: it is of another family.
    """
    if settings.family and model_type not in FAMILIES[settings.family].model_types:
        raise BackendError(
            f"model '{settings.id}' is a {model_type}, not of family {settings.family}; correct"
            " family in its entry, or leave it out"
        )


def image_options(settings: ModelConfig, image_processor: Any) -> dict[str, Any]:
    """Options under which a family's image processor keeps what the budgets have decided.

    Args:
        image_processor: as loaded; some options depend on the sizes it was trained with.
    """
    largest = max(settings.first_view.max_pixels, settings.crop.max_pixels)
    match settings.family:
        case "idefics3":
            # It enlarges every image to one long side and cuts that into tiles: as many as the
            # budget fills, where its default takes up to 17 for any thumbnail.
            tile = int(image_processor.max_image_size["longest_edge"])
            return {"size": {"longest_edge": tile * math.ceil(math.sqrt(largest) / tile)}}
        case "llava":
            # Its default cuts the top and bottom off a page; LLaVA-1.5 was trained on padding.
            return {"do_pad": True}
        case "qwen2_vl" | "qwen2_5_vl" | "qwen3_vl":
            # Sides are multiples of this already: within these bounds nothing is resized again.
            side = int(image_processor.patch_size * image_processor.merge_size)
            return {"size": {"shortest_edge": side**2, "longest_edge": largest}}
        case _:
            return {}
