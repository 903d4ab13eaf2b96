"""Which weights exactly an entry means, and how its processor keeps images as sized."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.families import FAMILIES
from active_perception_r1.storage.fingerprint import folder_fingerprint
from active_perception_r1.storage.hub import resolve_commit


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
    commit = find_commit(settings)
    return Weights(settings.id, commit, commit or folder_fingerprint(Path(settings.id)))


def find_commit(settings: ModelConfig) -> str | None:
    """Which version is loaded from the hub; None for a folder.

    Raises:
        BackendError: it is not a folder, and the hub does not give it.
    """
    if Path(settings.id).is_dir():
        return None
    return resolve_commit("model", settings.id, settings.revision)


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
    """Options under which the image processor keeps what the entry's budgets have decided.

    Args:
        image_processor: as loaded; some options depend on the sizes it was trained with.
    """
    if settings.family is None:
        return {}
    largest = max(settings.first_view.max_pixels, settings.crop.max_pixels)
    return FAMILIES[settings.family].image_options(image_processor, largest)
