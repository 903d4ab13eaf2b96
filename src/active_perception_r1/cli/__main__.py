"""`python -m active_perception_r1.cli`."""

import sys

from active_perception_r1.cli import main

sys.exit(main())
