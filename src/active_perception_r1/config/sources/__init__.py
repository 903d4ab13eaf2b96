"""Where pages and questions come from: the sections that name a dataset, one file a source."""

from typing import Annotated

from active_perception_r1.config.section import OneOf
from active_perception_r1.config.sources._dataset import BoxUnit, Dataset
from active_perception_r1.registry import Registry

SOURCES: Registry[type[Dataset]] = Registry(__name__, "SOURCE")

DatasetConfig = Annotated[Dataset, OneOf(SOURCES, "source")]

__all__ = ["SOURCES", "BoxUnit", "Dataset", "DatasetConfig"]
