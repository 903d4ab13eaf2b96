"""A CPU as a platform of verl: `VERL_USE_EXTERNAL_MODULES=verl_cpu VERL_PLATFORM=cpu`."""

import contextlib
import os
import types

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


def resident(*_):
    return psutil.Process().memory_info().rss


def memory(*_):
    found = psutil.virtual_memory()
    return found.available, found.total


device = types.ModuleType("verl_cpu_device")
device.__dict__.update(
    is_available=lambda: False,
    current_device=lambda: torch.device("cpu"),
    device_count=lambda: 1,
    set_device=lambda *_: None,
    synchronize=lambda *_: None,
    empty_cache=lambda: None,
    ipc_collect=lambda: None,
    memory_allocated=resident,
    memory_reserved=resident,
    max_memory_allocated=resident,
    max_memory_reserved=resident,
    reset_peak_memory_stats=lambda *_: None,
    mem_get_info=memory,
    manual_seed=torch.manual_seed,
    manual_seed_all=torch.manual_seed,
    get_rng_state=lambda *_: torch.get_rng_state(),
    set_rng_state=lambda state, *_: torch.set_rng_state(state),
    get_device_name=lambda *_: "cpu",
    is_bf16_supported=lambda: True,
)


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    device_name = "cpu"
    vendor_name = "cpu"
    device_module = device

    def is_available(self):
        return True

    def current_device(self):
        return torch.device("cpu")

    def device_count(self):
        return 1

    def set_device(self, device_index):
        pass

    def synchronize(self, device_index=None):
        pass

    def manual_seed(self, seed):
        torch.manual_seed(seed)

    def manual_seed_all(self, seed):
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings):
        pass

    def empty_cache(self):
        pass

    def get_device_capability(self, device_index=0):
        return None, None

    def communication_backend_name(self):
        return "gloo"

    def visible_devices_envvar(self):
        return "CUDA_VISIBLE_DEVICES"

    def nvtx_range(self, msg):
        return contextlib.nullcontext()

    def profiler_start(self):
        pass

    def profiler_stop(self):
        pass

    def ray_resource_name(self):
        return "GPU"  # a logical one: ray.init(num_gpus=1)

    def ray_noset_envvars(self):
        return []

    def is_ipc_supported(self):
        return False  # weights reach vLLM through shared memory

    def rollout_env_vars(self):
        return {key: value for key, value in os.environ.items() if key.startswith("VLLM_")}

    def cudart(self):
        return None


# verl asks for "cpu:gloo,cpu:gloo", which names one device twice.
init_process_group = torch.distributed.init_process_group


def init_once(backend=None, *args, **kwargs):
    backend = "gloo" if backend == "cpu:gloo,cpu:gloo" else backend
    return init_process_group(backend, *args, **kwargs)


torch.distributed.init_process_group = init_once
torch.distributed.distributed_c10d.init_process_group = init_once

# FSDP engines are registered for accelerators only. Importing them needs the platform above.
from verl.workers.engine.base import EngineRegistry  # noqa: E402

get_engine_cls = EngineRegistry.get_engine_cls.__func__


def get_engine_on_cpu(cls, *args, **kwargs):
    for engines in cls._engines.values():
        for name in ("fsdp", "fsdp2"):
            if "cuda" in engines.get(name, {}):
                engines[name].setdefault("cpu", engines[name]["cuda"])
    return get_engine_cls(cls, *args, **kwargs)


EngineRegistry.get_engine_cls = classmethod(get_engine_on_cpu)
