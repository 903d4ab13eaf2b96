"""The configuration file: its schema, its defaults, and errors that name the wrong key.

`workflow_config.yaml` is the only file a user edits. Snakemake merges further `--configfile`s and
`--config` values over it and hands the result to `parse_config`.
"""

from active_perception_r1.config.data import (
    BoxUnit,
    DatasetConfig,
    HubDataset,
    ParquetDataset,
    SliceConfig,
    SyntheticDataset,
)
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
from active_perception_r1.config.model import (
    CropConfig,
    FirstView,
    ModelConfig,
    OpenAIConfig,
    VllmConfig,
)
from active_perception_r1.config.section import NAME
from active_perception_r1.config.training import (
    AlarmConfig,
    LocalTraining,
    TrainingConfig,
    VerlTraining,
)

__all__ = [
    "NAME",
    "RESULTS",
    "AlarmConfig",
    "BoxUnit",
    "Config",
    "CropConfig",
    "DatasetConfig",
    "FirstView",
    "GpuConfig",
    "HubDataset",
    "LocalTraining",
    "ModelConfig",
    "OpenAIConfig",
    "ParquetDataset",
    "SliceConfig",
    "StudyConfig",
    "SyntheticDataset",
    "TrainingConfig",
    "VerlTraining",
    "VllmConfig",
    "load_config",
    "parse_config",
    "parse_section",
    "training_folder",
    "undefined",
]
