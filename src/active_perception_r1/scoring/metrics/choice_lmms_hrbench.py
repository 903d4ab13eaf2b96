"""Which option was chosen, as lmms-eval 0.7.3 reads it in `hrbench`.

Published numbers rest on it. Where these rules find none, it asks a language model; we do not.
"""

from collections.abc import Sequence
from string import ascii_uppercase

from active_perception_r1.scoring.metrics._metric import Metric, of_choices

_SPACED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_NO_REPLY = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def read_hrbench(reply: str, options: Sequence[str]) -> str | None:
    """The only option's letter among the words, in upper case; or else the only option within.

    An option is within the reply if its text is, as a part of a word or as more, letter case aside.
    A refusal is "Z", which is never right.

    >>> read_hrbench("Option B.", ["red", "blue"]), read_hrbench("It is covered.", ["red", "blue"])
    ('B', 'A')
    """
    letters = ascii_uppercase[: len(options)]
    if _NO_REPLY not in reply:
        if any(phrase in reply for phrase in _REFUSALS):
            return "Z"
        words = set(reply.translate(_SPACED).split())
        named = [letter for letter in letters if letter in words]
        if len(named) == 1:
            return named[0]
        if not named and "Z" in words:
            return "Z"
    said = reply.lower()
    texts = zip(letters, options, strict=False)
    within = [letter for letter, option in texts if option.lower() in said]
    return within[0] if len(within) == 1 else None


METRIC = Metric(
    "1 if lmms-eval would read a right letter in the answer, in its task hrbench and before it asks"
    " a language model; null where there are no options",
    "share",
    of_choices(read_hrbench),
)
