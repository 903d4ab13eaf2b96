"""What vLLM loads of this package in each of its processes: a plugin, by its entry point."""

from __future__ import annotations


def count_whole_images() -> None:
    """Let an image that Idefics3 does not cut into tiles be one, not none.

    transformers counts the pieces of such an image as 0. vLLM took that for its patches before it
    took at least 1 (0.24.0 does, 0.32.0 does not), and then found no pixels in them: with the image
    options of `families.idefics3` no SmolVLM started.
    """
    from vllm.model_executor.models.idefics3 import Idefics3ProcessingInfo

    counted = Idefics3ProcessingInfo.get_num_patches

    def at_least_one(info: Idefics3ProcessingInfo, **about: object) -> int:
        pieces: int = counted(info, **about)
        return max(1, pieces)

    Idefics3ProcessingInfo.get_num_patches = at_least_one
