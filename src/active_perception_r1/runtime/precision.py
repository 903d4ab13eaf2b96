"""What numbers this machine computes fastest."""

from __future__ import annotations

import torch


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are worth it.

    Most processors without AVX-512 take several times longer for them than in float32.
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"
