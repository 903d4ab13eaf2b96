"""Kimi K2.5 and K2.6: calls between special tokens."""

from active_perception_r1.families._family import Family

FAMILY = Family(
    ("kimi_k25",),
    marks=(
        "<|tool_calls_section_begin|>",
        "<|tool_call_begin|>",
        "<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        "<|tool_calls_section_end|>",
    ),
)
