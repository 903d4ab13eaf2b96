"""Which option was chosen, as lmms-eval 0.7.3 reads it in `vstar_bench`.

Published numbers rest on it. It takes letters that no one meant: "Blue" is B, its first letter.
"""

import re
from collections.abc import Sequence

from active_perception_r1.scoring.metrics._metric import Metric, of_choices

# In the order in which they are tried, on a reply in upper case.
_PATTERNS = (
    re.compile(r"\A([A-D])"),
    re.compile(r"(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])"),
    re.compile(r"\(([A-D])\)"),
    re.compile(r"([A-D])\s*[.)\]]"),
    re.compile(r"(?:\A|\s)([A-D])(?:\s|\Z)"),
)


def read_vstar(reply: str, options: Sequence[str]) -> str | None:
    """What the first pattern finds that finds any; or else the only one of A to D in the reply.

    >>> [read_vstar(reply, []) for reply in ("(B)", "Blue", "It is red.")]
    ['B', 'B', 'D']
    """
    said = reply.strip().upper()
    for pattern in _PATTERNS:
        if found := pattern.search(said):
            return found[1]
    letters = re.findall("[A-D]", said)
    return letters[0] if len(letters) == 1 else None


METRIC = Metric(
    "1 if lmms-eval would read a right letter in the answer, in its task vstar_bench; null where"
    " there are no options",
    "share",
    of_choices(read_vstar),
)
