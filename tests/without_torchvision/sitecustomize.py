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


def install():
    """Replace the video processors where torchvision is missing, now or when they are imported."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    if _PROCESSORS in sys.modules:
        _replace_video_processors()
    else:
        sys.meta_path.insert(0, _AfterImport())


if __name__ == "sitecustomize":
    install()
