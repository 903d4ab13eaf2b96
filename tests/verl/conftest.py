"""These tests run in the environment of `make test-verl` only."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("verl") else ["*.py"]
