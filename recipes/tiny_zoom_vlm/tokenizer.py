"""Tokenizer and processor of the tiny VLM: a token per word, digit, coordinate, format piece."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import Idefics3ImageProcessorPil, Idefics3Processor, PreTrainedTokenizerFast

from active_perception_r1.data.synthetic import COLUMN_KEYS, KEYS, TOTAL

IMAGE_SIDE = 112
PATCH = 14
SCALE_FACTOR = 2
IMAGE_TOKENS = (IMAGE_SIDE // PATCH // SCALE_FACTOR) ** 2

PAD = "<|endoftext|>"
END = "<|im_end|>"
IMAGE = "<image>"
_CONTROL = (
    PAD,
    "<|im_start|>",
    END,
    "<fake_token_around_image>",
    IMAGE,
    "<global-img>",
    "<end_of_utterance>",
)
_FORMAT = ("<answer>", "</answer>", '<zoom_roi x0="', '" y0="', '" x1="', '" y1="', '"/>')
_WORDS = (
    *("system", "user", "assistant", "\n", " ", "What", "Where", " is", " the", " value", " of"),
    *(" at", " row", " column", " bar", " in", " inset", "?", ",", "."),
    *(" Answer", " directly", " You", " may", " zoom", " Zoom", " first"),
    *(f" {TOTAL}", " large", " small"),
)
COORDINATES = tuple(f"{i / 100:.2f}" for i in range(101))
_UNKNOWN = "<unk>"

# What the processor makes of one <image>: the expansion is its own, repeated here for training.
IMAGE_SPAN = "<fake_token_around_image><global-img>" + IMAGE * IMAGE_TOKENS
IMAGE_SPAN += "<fake_token_around_image>"

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The word-level tokenizer: unknown words become <unk>, a space belongs to the next word."""
    letters = [f" {key}" for key in KEYS + COLUMN_KEYS]
    vocabulary = [*_CONTROL, *_FORMAT, *_WORDS, *letters, *"0123456789", *COORDINATES, _UNKNOWN]
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"[01]\.\d\d|\d| ?[A-Za-z]+|\n|\S|\s"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        unk_token=_UNKNOWN,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        chat_template=_CHAT_TEMPLATE,
    )
    # Control tokens vanish when decoding with skip_special_tokens; format pieces must stay.
    wrapped.add_tokens([AddedToken(token, special=True, normalized=False) for token in _CONTROL])
    wrapped.add_tokens([AddedToken(token, special=False, normalized=False) for token in _FORMAT])
    return wrapped


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """The stock Idefics3 processor: every image becomes 112 x 112 pixels and 16 tokens, unsplit."""
    image_processor = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": IMAGE_SIDE},
        max_image_size={"longest_edge": IMAGE_SIDE},
        return_row_col_info=True,
    )
    return Idefics3Processor(
        image_processor, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=_CHAT_TEMPLATE
    )
