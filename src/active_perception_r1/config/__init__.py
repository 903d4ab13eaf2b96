"""The configuration file: its schema, its defaults, and errors that name the wrong key.

`workflow_config.yaml` is the only file a user edits. Snakemake merges further `--configfile`s and
`--config` values over it and hands the result to `parse_config`.
"""

from active_perception_r1.config.decoding import DecodingConfig, VllmConfig
from active_perception_r1.config.engines import ENGINES, GrpoConfig, TrainingConfig
from active_perception_r1.config.errors import undefined
from active_perception_r1.config.file import (
    RESULTS,
    Config,
    StudyConfig,
    load_config,
    parse_config,
    parse_section,
    training_folder,
)
from active_perception_r1.config.gpu import GpuConfig
from active_perception_r1.config.model import ModelConfig
from active_perception_r1.config.section import NAME
from active_perception_r1.config.server import OpenAIConfig, PriceConfig
from active_perception_r1.config.slice import SliceConfig
from active_perception_r1.config.sources import SOURCES, BoxUnit, Dataset, DatasetConfig
from active_perception_r1.config.view import CropConfig, FirstView

__all__ = [
    "ENGINES",
    "NAME",
    "RESULTS",
    "SOURCES",
    "BoxUnit",
    "Config",
    "CropConfig",
    "Dataset",
    "DatasetConfig",
    "DecodingConfig",
    "FirstView",
    "GpuConfig",
    "GrpoConfig",
    "ModelConfig",
    "OpenAIConfig",
    "PriceConfig",
    "SliceConfig",
    "StudyConfig",
    "TrainingConfig",
    "VllmConfig",
    "load_config",
    "parse_config",
    "parse_section",
    "training_folder",
    "undefined",
]
