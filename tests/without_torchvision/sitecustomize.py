"""Lets Qwen's processors load without torchvision, which they need for videos only.

For tests: there is no build of torchvision beside the CPU build of torch, and no test shows videos.
With this folder on PYTHONPATH, Python runs this file in every process that it starts.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys

_PROCESSORS = "transformers.models.auto.processing_auto"


def _replace_video_processors():
    import transformers
    from transformers import video_processing_utils as videos
    from transformers.models.auto import video_processing_auto

    # Its name before transformers 5.23 is the second one.
    names = ("VideoProcessorMixin", "BaseVideoProcessor")
    name = next(name for name in names if hasattr(videos, name))

    class NoVideo(getattr(videos, name)):
        @classmethod
        def from_pretrained(cls, *args, **kwargs):
            return cls()

    setattr(transformers, name, getattr(videos, name))
    video_processing_auto.AutoVideoProcessor = NoVideo
    if not _is_there(lambda: transformers.Idefics3ImageProcessorPil.from_dict):
        _show_the_hidden(transformers)


def _show_the_hidden(transformers):
    """transformers 5.16 and 5.17 take Idefics3's processor for one that needs torchvision."""
    from transformers.models import idefics3
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        Idefics3ImageProcessorPil,
    )

    for module in (transformers, idefics3):
        module.Idefics3ImageProcessorPil = Idefics3ImageProcessorPil


def _is_there(find):
    try:
        find()
    except ImportError:
        return False
    return True


class _AfterImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != _PROCESSORS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_replace(module):
            execute(module)
            _replace_video_processors()

        spec.loader.exec_module = execute_and_replace
        return spec


def torchvision_is_missing():
    return importlib.util.find_spec("torchvision") is None


def install():
    """Replace the video processors where torchvision is missing, now or when they are imported."""
    if not torchvision_is_missing():
        return
    if _PROCESSORS in sys.modules:
        _replace_video_processors()
    else:
        sys.meta_path.insert(0, _AfterImport())


if __name__ == "sitecustomize":
    install()
