"""What TRL's tool loop needs of a model that was never meant to call functions.

TRL 1.16 plays the calls that a chat template can write and a response template can read. The
shipped model and its family, Idefics3 (SmolVLM), have neither, and take images in another shape
than TRL gives them after a call; here is what makes up for it.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import Idefics3ForConditionalGeneration

# In front of a chat template. A crop comes in a message of the user's, as it does in an episode.
_CALLS_AS_TEXT = """\
{%- set spoken = namespace(messages=[]) -%}
{%- for message in messages -%}
{%- set said = namespace(parts=[]) -%}
{%- if message['content'] is string -%}
{%- set said.parts = [{'type': 'text', 'text': message['content']}] -%}
{%- elif message['content'] -%}
{%- set said.parts = message['content'] | list -%}
{%- endif -%}
{%- for call in message['tool_calls'] or [] -%}
{%- set function = call['function'] -%}
{%- set text = namespace(written='<' ~ function['name']) -%}
{%- for name, value in function['arguments'].items() -%}
{%- if name == 'call' -%}
{%- set text.written = value | trim('>') -%}
{%- else -%}
{%- set text.written = text.written ~ ' ' ~ name ~ '="' ~ value ~ '"' -%}
{%- endif -%}
{%- endfor -%}
{%- set said.parts = said.parts + [{'type': 'text', 'text': text.written ~ '>'}] -%}
{%- endfor -%}
{%- set role = 'user' if message['role'] == 'tool' else message['role'] -%}
{%- set spoken.messages = spoken.messages + [{'role': role, 'content': said.parts}] -%}
{%- endfor -%}
{%- set messages = spoken.messages -%}
"""


def offer_zoom_roi(processor: Any) -> None:
    """Let TRL read `<zoom_roi ..>` as a call of the function `zoom_roi`, and write it again.

    Args:
        processor: of a model whose chat template knows no functions; changed in place.
    """
    asked = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    write = processor.apply_chat_template
    header = write(asked, add_generation_prompt=True).removeprefix(write(asked))
    end = re.escape(processor.tokenizer.eos_token)
    processor.chat_template = _CALLS_AS_TEXT + processor.chat_template
    processor.tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": header,
        "fields": {
            "tool_calls": {
                "open_pattern": r"(?=<zoom_roi(?![\w-]))",
                # As the parser of the syntax: an unclosed call ends where the next mark begins.
                "close_pattern": rf"(?<=<zoom_roi[^<>]*>)|(?<=<zoom_roi[^<>]*)(?=<)|{end}",
                "repeats": True,
                "content": "text",
                "transform": {
                    "type": "function",
                    "function": {"name": "zoom_roi", "arguments": {"call": "{content}"}},
                },
            },
            "content": {"close_pattern": rf"{end}\s*", "content": "text"},
        },
    }


def one_row_an_image(processor: Any) -> None:
    """Let an Idefics3's processor take the images of a whole batch as TRL gives them after a call.

    That is a flat list, which it would take for one prompt's images; as a row each, TRL can tell
    which image is of which rollout. Changed in place.
    """
    kind: Any = type(processor.image_processor)

    class OneRowAnImage(kind):  # type: ignore[misc]  # its base is known when it runs
        def __call__(self, images: Any, *args: Any, **options: Any) -> Any:
            if any(isinstance(image, list) for image in images):
                return super().__call__(images, *args, **options)
            inputs = super().__call__([[image] for image in images], *args, **options)
            inputs.pop("pixel_attention_mask", None)  # TRL would cut it by prompts
            return inputs

    processor.image_processor.__class__ = OneRowAnImage


_BASE: Any = Idefics3ForConditionalGeneration  # whose types allow no further argument


class Idefics3ForTrl(_BASE):  # type: ignore[misc]
    """Takes, and leaves aside, the `token_type_ids` that TRL gives every model after a call."""

    def prepare_inputs_for_generation(
        self, input_ids: Any, token_type_ids: Any = None, **kwargs: Any
    ) -> Any:
        return super().prepare_inputs_for_generation(input_ids, **kwargs)
