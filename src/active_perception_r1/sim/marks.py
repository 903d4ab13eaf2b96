"""Marks that stand for an image or open a turn, where they are written in a text: they stay text.

Chat templates, tokenizers and trainers replace such marks wherever they find them: a question that
quotes one would get an image too many, or end its own turn. All texts of an episode pass through
here before anything else sees them, so that it is the same for every engine and every trainer.
"""

from __future__ import annotations

import re

# Of images and other media: transformers' processors, vLLM, verl's data set.
_MEDIA = (
    r"image|video|audio|img|/img|IMG_CONTEXT|image_soft_token|audio_soft_token|start_of_image"
    r"|end_of_image|fake_token_around_image|global-img|row_\d+_col_\d+"
    r"|\|(?:image|video|audio|vision|media)\w*\||\|(?:begin|end)_of_(?:image|video|audio)\|"
)
# Of turns: ChatML and its kin write `<|...|>`, as models do in calls and boxes; others these.
_TURNS = r"s|/s|bos|eos|pad|unk|start_of_turn|end_of_turn|end_of_utterance"
_CHATML = r"\|(?:im_\w+|endoftext|eot_id|\w+_header_id|system|user|assistant|observation)\|"
_ANY = r"\|[^<>|\s]{1,64}\|"
_IN_REPLIES = re.compile(rf"<(?=(?:{_MEDIA}|{_TURNS}|{_CHATML})>)|\[(?=IMG(?:_BREAK|_END)?\])")
_IN_DATA = re.compile(rf"<(?=(?:{_MEDIA}|{_TURNS}|{_ANY})>)|\[(?=(?:IMG(?:_BREAK|_END)?|/?INST)\])")


def data_as_text(text: str) -> str:
    """A text of the data, in which no mark is one any more: a space parts it.

    >>> data_as_text("Is <image> or <|im_end|> on the page, if a<b and [1]?")
    'Is < image> or < |im_end|> on the page, if a<b and [1]?'
    """
    return _IN_DATA.sub(lambda found: f"{found.group()} ", text)


def reply_as_text(text: str) -> str:
    """A text that a model wrote, whose own marks (calls, boxes, thoughts) are left to it.

    >>> reply_as_text("<|image_pad|> <|begin_of_box|>42<|end_of_box|>")
    '< |image_pad|> <|begin_of_box|>42<|end_of_box|>'
    """
    return _IN_REPLIES.sub(lambda found: f"{found.group()} ", text)
