"""What of a text counts where an answer is looked for on a page: its pieces, in order.

Texts are compatibility-normalised (NFKC) and case-folded. Their pieces are

- numbers, with the separators inside them and a minus in front (`-5` is not `5`), where nothing but
  space or an opening bracket, quote, sign or currency stands before it: `10-5` and `A-5` have none;
- runs of letters *with their combining marks* (Unicode categories Mn and Mc): vowel signs, viramas
  and tone marks of Devanagari, Bengali, Tamil, Telugu, Thai, Burmese, Khmer and others tell words
  apart, as accents do;
- symbols that make a short answer another one: `%`; `+`, `#`, sharp and flat right behind a letter
  or digit (`C++`, `C#`, `A+`); `-` and `*` behind one or two letters (`A-`, not `infor-`);
  `< > ≤ ≥ ±` before a digit; and an exponent, written `^2`, behind one.

What daily writing leaves out is optional and dropped: Arabic harakat and tatweel, Hebrew niqqud and
cantillation, Syriac points, variation selectors and joiners. So are currency signs, which tables
leave to their heads, all other punctuation, and space.
"""

from __future__ import annotations

import re
import unicodedata

_OPTIONAL = ("ARABIC ", "HEBREW ", "SYRIAC ", "VARIATION SELECTOR-", "MONGOLIAN FREE VARIATION ")
# All combining marks, but for more variation selectors from U+E0100 on, which no page has.
_MARKS = [
    chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc")
]
_COUNTED = [mark for mark in _MARKS if not unicodedata.name(mark).startswith(_OPTIONAL)]
_REWRITTEN = str.maketrans(
    {
        **dict.fromkeys(set(_MARKS).difference(_COUNTED), ""),
        # Tatweel; soft hyphen; grapheme, zero-width and word joiners; byte order mark.
        **dict.fromkeys("\u0640\u00ad\u034f\u200b\u200c\u200d\u2060\ufeff", ""),
        **dict.fromkeys("$¢£¤¥฿₩₪₫€₱₹₺₽₿", ""),
        **dict.fromkeys("\u2010\u2012\u2013\u2212", "-"),  # hyphen, dashes, minus
        "\u2044": "/",  # In ½, for example.
    }
)
_EXPONENT = re.compile(r"(?<=\d)([⁰¹²³⁴-⁹]+)")  # Or 10² would be 102.
_LOOK_ALIKES = str.maketrans("oli|sbz", "0111582")


def _pattern(letter: str) -> re.Pattern[str]:
    return re.compile(
        r"""(?:(?<![^\s([{<>=:"'])-)?\d+(?:[.,:/-]\d+)*"""
        r"|(?<=\d)\^\d+"
        rf"|(?<!\w){letter}{{1,2}}[-*](?!\w)"
        rf"|{letter}+"
        r"|%|[<>≤≥±](?=\d)|(?<=\w)[+#♯♭]+(?!\w)"
    )


_PIECE = _pattern(rf"(?:[^\W\d_]|[{''.join(_COUNTED)}])")
_ASCII_PIECE = _pattern("[a-z]")


def pieces(text: str) -> list[str]:
    """The pieces of a text; joined, they are what is compared.

    >>> pieces("Total: -$9.00 (5%)"), pieces("C++ & C#"), pieces("हिन्दी")
    (['total', '-9.00', '5', '%'], ['c', '++', 'c', '#'], ['हिन्दी'])
    """
    if text.isascii():  # the same, faster
        return _ASCII_PIECE.findall(text.lower().replace("$", ""))
    folded = unicodedata.normalize("NFKC", _EXPONENT.sub(r"^\1", text)).casefold()
    # Case-folding takes letters apart that belong together, and leaves the dot of a Turkish İ.
    folded = unicodedata.normalize("NFKC", folded).replace("i\u0307", "i")
    return _PIECE.findall(folded.translate(_REWRITTEN))


def unified(text: str) -> str:
    """The text with characters that OCR confuses with digits written as digits.

    >>> unified("l5.O0")
    '15.00'
    """
    return text.casefold().translate(_LOOK_ALIKES)
