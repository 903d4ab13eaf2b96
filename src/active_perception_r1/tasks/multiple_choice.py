"""One of several options, named by letters from A, as in V*Bench and HR-Bench."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from active_perception_r1.errors import DataError
from active_perception_r1.tasks._task import Judgement, Task
from active_perception_r1.tasks.short_answer import normalise_answer
from active_perception_r1.utils.trace_parser import parse_answer

# Tags, emphasis and TeX set their content apart: it is read like a line of its own.
_SET_APART = (
    re.compile(r"()</?answer>"),
    *[re.compile(r"\\(?:boxed|fbox|text|textbf|mathbf|mathrm)\s*\{([^{}]*)\}")] * 3,  # nested
    re.compile(r"\*\*([^*\n]+)\*\*"),
)
_DECORATION = r"[\s*_`\"'“”‘’$>]*"
_OPENING, _CLOSING = r"[(\[{]", r"[)\]}]"
_ALONE = re.compile(
    rf"{_DECORATION}{_OPENING}?\s*(?P<letter>[A-Z])\s*{_CLOSING}?[.:,;!]*{_DECORATION}\Z", re.I
)
_BEFORE_TEXT = re.compile(
    rf"{_DECORATION}(?:{_OPENING}(?P<in_brackets>[A-Z]){_CLOSING}"
    r"|(?P<letter>[A-Z])(?:[)\]:]|[.,;](?=\s)|(?=\s+[-–—]\s)"
    r"|\s+is\s+(?:the\s+)?(?:correct|right|best|answer)\b))",
    re.I,
)
_IN_BRACKETS = re.compile(rf"(?<!\w){_OPENING}\s*([A-Z])\s*{_CLOSING}", re.I)
_ANNOUNCED = re.compile(
    r"\b(?:(?:answer|option|choice)\b(?:\s+is\b)?\s*[:=]?|it(?:\s+is\b|['’]s\b))\s*", re.I
)
# What an article is never followed by.
_FUNCTION_WORDS = r"(?:is|was|because|since|as|for|or|and)\b"
_CLOSED = (
    r"(?=[^\S\n]*\Z|[.,:;!?)\]}*_`\"'”’$](?!\w)|\s+[-–—(]"
    rf"|\s+{_FUNCTION_WORDS})"
)
_CLOSED_LETTER = re.compile(rf"{_DECORATION}{_OPENING}?(?P<letter>[A-Z]){_CLOSED}", re.I)
_STANDING_ALONE = re.compile(
    rf"(?<![\w.-])(?<!\w['’])(?:[B-HJ-Z]|[AI](?![^\S\n]+(?!{_FUNCTION_WORDS})\w\w))"
    r"(?!\w|['’.-]\w)",
    re.I,
)
_DENIED = re.compile(
    r"(?:\b(?:not|neither|nor|except|than|instead\s+of)|n['’]t)\s+(?:the\s+)?"
    rf"(?:(?:answer|option|choice)\s+)?(?:{_OPENING}[A-Z]{_CLOSING}|[A-Z]{_CLOSED})"
    rf"|(?<!\w)[A-Z]{_CLOSING}?\s+(?:is\s+(?:not|wrong|incorrect)\b|isn['’]t\b)",
    re.I,
)
_QUOTING = 100  # characters at most around an option's text that it may still be compared with


def read_choice(reply: str, options: Sequence[str]) -> str | None:
    """The letter of the option that a reply chooses; None if it chooses none, or not clearly one.

    The grammar, for the options' letters in either case:

        reply   = option's text | line { line }
        line    = letter | "(" letter ")"            also in [] or {}; with . : ) behind it
                | letter mark text                   mark: ) ] : or . , ; and a space, or a dash
                                                     between spaces
                | letter "is" ["the"] ("correct" | "right" | "best" | "answer") ...
                | ... "(" letter ")" ...
                | ... announcement letter end ...
                | ... announcement line
                | option's text
        announcement = ("answer" | "option" | "choice") ["is"] [":"] | "it is" | "it's"
        end     = end of the line | punctuation | dash
                | "is" | "was" | "because" | "since" | "as" | "for" | "or" | "and"

    What stands in `**`, `\\boxed{}` or `<answer>` is a line of its own. An option's text is the
    whole reply or line, compared as short answers are (`normalise_answer`) without `the` or `an` in
    front, and counts if no other option has the same.

    It is refused when two options are named in these ways, a letter and the text of another one
    among them; when another option's letter stands alone anywhere, outside the chosen option's
    text; and when a letter is denied ("not B", "B is wrong"). A letter inside a word is none, and
    `A` or `I` before a word is an article or a pronoun.

    >>> options = ["red", "blue", "green", "black"]
    >>> [read_choice(reply, options) for reply in ("The answer is (C).", "**B**", "Blue.")]
    ['C', 'B', 'B']
    >>> [read_choice(reply, options) for reply in ("A or B", "A dog", "A. blue", "not (A)")]
    [None, None, None, None]
    """
    texts = [_compared(option) for option in options]
    if named := _named(_compared(reply), texts):
        return named
    text = reply
    for pattern in _SET_APART:
        text = pattern.sub(r"\n\1\n", text)
    stated = {letter for line in text.split("\n") for letter in _stated(line, texts)}
    if len(stated) != 1 or _DENIED.search(text):
        return None
    (letter,) = stated
    letters = ascii_uppercase[: len(options)]
    if letter not in letters:
        return None
    own = options[letters.index(letter)].strip()
    elsewhere = re.sub(re.escape(own), " ", text, flags=re.IGNORECASE) if own else text
    others = {other.upper() for other in _STANDING_ALONE.findall(elsewhere)}.intersection(letters)
    return letter if others <= {letter} else None


def _compared(text: str) -> str:
    """What is compared of an option's text. `A` in front of it could be a letter, so it stays."""
    return normalise_answer(text).removeprefix("the ").removeprefix("an ")


def _named(text: str, texts: Sequence[str]) -> str | None:
    """The letter of the only option with this text."""
    found = [
        letter for letter, option in zip(ascii_uppercase, texts, strict=False) if option == text
    ]
    return found[0] if text and len(found) == 1 else None


def _stated(line: str, texts: Sequence[str]) -> Iterator[str]:
    """The letters that a line states, in any form of the grammar."""
    yield from _stated_from(line, 0, texts)
    for match in _IN_BRACKETS.finditer(line):
        yield match[1].upper()
    for match in _ANNOUNCED.finditer(line):
        yield from _stated_from(line, match.end(), texts)
        if letter := _CLOSED_LETTER.match(line, match.end()):
            yield letter["letter"].upper()


def _stated_from(line: str, start: int, texts: Sequence[str]) -> Iterator[str]:
    """What the line from `start` states as a whole: a letter, an option's text, or both."""
    if alone := _ALONE.match(line, start):
        yield alone["letter"].upper()
        return
    own = ""
    if lead := _BEFORE_TEXT.match(line, start):
        own = (lead["letter"] or lead["in_brackets"]).upper()
        yield own
        start = lead.end()
    if len(line) - start > max(map(len, texts), default=0) + _QUOTING:
        return  # Longer than any option, so no need to compare: keeps the time linear.
    rest = _compared(line[start:].strip(" \t-–—"))
    place = ascii_uppercase.find(own) if own else -1
    if 0 <= place < len(texts) and rest == texts[place]:
        return
    if named := _named(rest, texts):
        yield named


def right_letters(answers: Sequence[str], options: Sequence[str]) -> frozenset[str]:
    """The letters of the options that the accepted answers mean, each a letter or an option's text.

    >>> sorted(right_letters(["B"], ["red", "blue"])), *right_letters(["Red"], ["red", "blue"])
    (['B'], 'A')

    Raises:
        DataError: there are no options, or more than letters, or an answer is none of them.
    """
    letters = _letters(options)
    right: set[str] = set()
    for answer in answers:
        exactly = [x for x, option in zip(letters, options, strict=True) if option == answer]
        said = _compared(answer)
        alike = [x for x, option in zip(letters, options, strict=True) if _compared(option) == said]
        named = [x for x in letters if x == said.upper()]
        if not (meant := exactly or alike or named):
            raise DataError(f"answer '{answer}' is neither a letter nor the text of an option")
        right.update(meant)
    return frozenset(right)


def _letters(options: Sequence[str]) -> str:
    if not 0 < len(options) <= len(ascii_uppercase):
        raise DataError(
            f"{len(options)} options, but multiple choice needs 1 to {len(ascii_uppercase)}; map"
            " them (columns: options), or choose another task"
        )
    return ascii_uppercase[: len(options)]


class MultipleChoice(Task):
    """The letter of a right option, read strictly (`read_choice`)."""

    shows_options = True
    instruction = "Answer with the letter of the right option, as <answer>letter</answer>."

    def put(self, question: str, options: Sequence[str] = ()) -> str:
        """The options stand under the question, one a line, as "A. text".

        Raises:
            DataError: there are no options, or more than letters.
        """
        pairs = zip(_letters(options), options, strict=True)
        lines = (f"{letter}. {option}" for letter, option in pairs)
        return "\n".join([question, *lines])

    def read(self, text: str) -> str | None:
        """The answer in its tags; without tags, a reply that states a letter and nothing else.

        Models that were trained on such questions often leave the tags out. What they think
        beforehand, in <think>, is no answer.
        """
        if (answer := parse_answer(text)) is not None:
            return answer
        said = text.rpartition("</think>")[2].strip()
        return said if read_choice(said, [""] * len(ascii_uppercase)) else None

    def judge(
        self, answer: str | None, answers: Sequence[str], options: Sequence[str] = ()
    ) -> Judgement:
        """
        Args:
            answers: the letters or texts of the right options.

        Raises:
            DataError: as `right_letters`.
        """
        right = right_letters(answers, options)
        correct = answer is not None and read_choice(answer, options) in right
        return Judgement(float(correct), correct)


TASK = MultipleChoice()
