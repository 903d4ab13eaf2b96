"""What of a response the model wrote, and the zoom calls in it.

Text never proves who wrote it. A rollout that puts anything between two replies of the model must
say which text is the model's (`policy_turns`). A response by itself is taken for a single reply,
and refused where it looks like more: what an environment says must never be paid as an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from active_perception_r1.envs.zoom_simulator import Refusal, allowed
from active_perception_r1.geometry import Box, is_redundant
from active_perception_r1.records import Action, Step, ToolStatus
from active_perception_r1.utils.trace_parser import Frame, Syntax, parse_actions

# Tokens of grounding, thinking and tool calls stand inside a reply; any other ends it.
_INSIDE = r"[^\s<>|｜]*(?:box|ref|quad|think|thought|tool.call)[^\s<>|｜]*"
_END = re.compile(
    rf"<[|｜](?!{_INSIDE}[|｜]>)[^\s<>|｜]{{1,40}}[|｜]>"
    r"|</s>|<eos>|<end_of_turn>|<end_of_utterance>|<turn\|>"
)
_ANOTHER_SPEAKER = re.compile(
    rf"""
    {_END.pattern} | <s> | <bos> | <start_of_turn> | <\|turn> | \[/?INST\] | \[TOOL_RESULTS\]
    | <tool_response | <\|tool_response> | <tool_output | <image>
    # What is left of a template without its special tokens: a role on a line of its own,
    | ^(?:user|assistant|system|tool|model|observation|ipython)[ \t]*$
    # at the end of what was said before, with a blank line below,
    | (?<=\S)(?:user|assistant|tool|ipython)\n\n
    # or in front of what it says.
    | ^(?:\#+[ ]?)?(?:User|Human|Assistant|System|Tool|Observation):
    | (?<!\w)(?:USER|HUMAN|ASSISTANT):
    """,
    re.VERBOSE | re.MULTILINE,
)


def single_reply(response: str) -> str | None:
    """A response as one reply of the model, without the tokens that end it; None if it is more.

    Seen are the marks of chat templates, with their special tokens or without. Some templates leave
    no mark when those are dropped (GLM, DeepSeek, Phi, Cohere): then nothing can be seen.

    >>> single_reply("It is small. <answer>42</answer><|im_end|>")
    'It is small. <answer>42</answer>'
    >>> single_reply("Look.\\nuser\\n<answer>42</answer>\\nassistant\\nNo.") is None
    True
    """
    text = response.rstrip()
    while (last := text.rfind("<")) >= 0 and _END.fullmatch(text, last):
        text = text[:last].rstrip()
    return None if _ANOTHER_SPEAKER.search(text) else text


def policy_turns(completion: str | Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    """The model's replies in a text or in a list of messages; None if it cannot be told.

    A message may hold more than one reply, too: trainers decode all tokens of a rollout into one.
    Tool calls that a template took out of the text are put back as `<tool_call>`s.
    """
    if isinstance(completion, str):
        texts = [completion]
    else:
        texts = [_text(message) for message in completion if message.get("role") == "assistant"]
    replies = [single_reply(text) for text in texts]
    return None if None in replies else tuple(reply for reply in replies if reply is not None)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text") or "" for part in content)
    functions = [call.get("function", call) for call in message.get("tool_calls") or ()]
    calls = [{"name": f["name"], "arguments": f["arguments"]} for f in functions]
    return content + "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls)


def parsed_steps(
    turns: Sequence[str], syntax: Syntax, frame: Frame, max_zooms: int, min_area: float
) -> tuple[Step, ...]:
    """The trace as far as text alone tells it, when no environment recorded what was executed.

    The rules are those of an episode. A crop counts as shown if another turn followed, or, in the
    last turn, if the model wrote an answer after the call.
    """
    steps: list[Step] = []
    executed: list[Box] = []
    for number, turn in enumerate(turns):
        answered = len(turn) if number + 1 < len(turns) else turn.rfind("<answer>")
        position = 0
        for action in parse_actions(turn, syntax, frame, tuple(executed)):
            position = turn.index(action.raw, position) + len(action.raw)
            status, reason = _outcome(action, len(executed) < max_zooms, min_area)
            box = action.box if status is ToolStatus.ZOOM_EXECUTED else None
            steps.append(
                Step(
                    turn=number,
                    syntax=action.syntax,
                    raw=action.raw,
                    status=status,
                    reason=reason,
                    requested=action.box,
                    executed=box,
                    shown=box is not None and position <= answered,
                    redundant=box is not None and is_redundant(box, executed),
                )
            )
            executed += [] if box is None else [box]
    return tuple(steps)


def _outcome(action: Action, zooms_left: bool, min_area: float) -> tuple[ToolStatus, str]:
    if action.box is None:
        return action.fault or ToolStatus.MALFORMED_ZOOM, action.reason
    wanted = allowed(action.box, min_area)
    if isinstance(wanted, Refusal):
        return wanted.status, wanted.reason
    if not zooms_left:
        return ToolStatus.ZOOM_LIMIT_REACHED, "no zoom is left"
    return ToolStatus.ZOOM_EXECUTED, ""
