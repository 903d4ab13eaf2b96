"""Qwen2.5-VL: patches of 14 pixels, merged by twos.

Its chat template knows neither functions nor the role `tool`, so they are written as in Qwen2.5,
whose language model it has: declared in the system message, answered in a message of the user.
"""

from active_perception_r1.families._family import Family, ToolProtocol
from active_perception_r1.families._qwen import MAX_ASPECT, image_options

FAMILY = Family(
    ("qwen2_5_vl",),
    multiple=28,
    max_aspect=MAX_ASPECT,
    protocol=ToolProtocol(
        in_template=False,
        role="user",
        around=("<tool_response>\n", "\n</tool_response>"),
        system="You are a helpful assistant.",
    ),
    image_options=image_options,
)
