"""A word or a short phrase: right if it equals an accepted one, after one normalisation."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Sequence

from active_perception_r1.tasks._task import Judgement, Task

_TRAILING = " .,;:!?"  # End of a sentence. Not stripped in front: .5 is not 5.
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "„": "“", "«": "»"}

# Characters of another width, as East Asian input methods write them, to the usual ones.
_WIDTHS = {
    code: chr(int(decomposed.split()[1], 16))
    for code in (0x3000, *range(0xFF01, 0xFFEF))
    if (decomposed := unicodedata.decomposition(chr(code))).startswith(("<wide>", "<narrow>"))
}
# Of no width: joiners, marks of direction, soft hyphens, byte order marks, variation selectors.
_INVISIBLE = dict.fromkeys(
    [
        *(0xAD, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
    ]
)
_SAME = {**_WIDTHS, **_INVISIBLE}


@functools.lru_cache(maxsize=4096)  # several metrics ask for the same answer in turn
def normalise_answer(text: str) -> str:
    """What exact match compares.

    1. Width: full-width and half-width forms become the usual characters, and characters of no
       width are removed, unless nothing else is there.
    2. Case and accents: Unicode canonical caseless form (The Unicode Standard 3.13, D145).
    3. White space: every run becomes one space; none at the ends.
    4. Around the answer: pairs of quotes, and punctuation that ends a sentence, are removed,
       unless nothing else is there.

    Signs, currency, per cent, brackets and everything inside the answer stay: -5 is not 5, and 5 %
    is not 5.

    >>> normalise_answer('  "Total  Amount." ')
    'total amount'
    """
    visible = text if text.isascii() else text.translate(_SAME)
    text = visible if visible.strip() else text
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    plain = " ".join(folded.split())
    start, end = 0, len(plain)
    while start < end:
        if plain[end - 1] in _TRAILING:
            end -= 1
        elif plain[start] == " ":
            start += 1
        elif end - start > 1 and _QUOTES.get(plain[start]) == plain[end - 1]:
            start, end = start + 1, end - 1
        else:
            break
    return plain[start:end] or plain


def exact_match(prediction: str | None, answers: Iterable[str]) -> bool:
    """Whether `prediction` equals one of the accepted answers after normalisation.

    No answer (None) and a blank one are never right.

    >>> exact_match("ACME Ltd.", ["Acme Ltd", "ACME Limited"])
    True
    """
    if prediction is None or not (given := normalise_answer(prediction)):
        return False
    return any(given == normalise_answer(answer) for answer in answers)


class ShortAnswer(Task):
    """Exact match: no credit for what is nearly right."""

    instruction = (
        "Answer with a word or a short phrase from the page, as <answer>your answer</answer>."
    )

    def judge(
        self, answer: str | None, answers: Sequence[str], options: Sequence[str] = ()
    ) -> Judgement:
        correct = exact_match(answer, answers)
        return Judgement(float(correct), correct)


TASK = ShortAnswer()
