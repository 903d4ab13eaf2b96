"""The episode inside trainers of others: TRL and verifiers, each with what it brings itself.

Run by `make test-trainers`, in an environment with both; plain pytest leaves it out.
"""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ENTRY = "tiny-zoom-vlm"
