"""What a model writes, and which action it becomes."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.geometry import Box
from active_perception_r1.records import ToolStatus
from active_perception_r1.utils.trace_parser import SYNTAXES, Frame, parse_actions, parse_answer
from tests.strategies import boxes

FRAME = Frame(page_size=(2000, 1000), view_size=(500, 250))


def parse(text: str, syntax: str = "zoom_roi"):  # type: ignore[no-untyped-def]
    return parse_actions(text, SYNTAXES[syntax], FRAME)


def only(text: str, syntax: str = "zoom_roi"):  # type: ignore[no-untyped-def]
    (action,) = parse(text, syntax)
    return action


def tool_call(name: str, **arguments: object) -> str:
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def xml_call(name: str, **arguments: str) -> str:
    parameters = "".join(
        f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items()
    )
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def kimi_call(name: str, **arguments: object) -> str:
    return (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{name}:0"
        f"<|tool_call_argument_begin|>{json.dumps(arguments)}<|tool_call_end|>"
        "<|tool_calls_section_end|>"
    )


EXPECTED = Box(0.1, 0.2, 0.5, 0.6)
CALLS = [
    ("zoom_roi", '<zoom_roi x0="0.1" y0="0.2" x1="0.5" y1="0.6"/>'),
    ("zoom_roi", "<zoom_roi x0=0.1 y0=0.2 x1=0.5 y1=0.6>"),
    ("zoom_roi", "<zoom_roi y1='.6' x1='5e-1' y0='+0.2' x0='0.10' />"),
    ("zoom_roi", '<zoom_roi\n  x0 = "0.1"\n  y0 = "0.2" x1 = "0.5" y1 = "0.6" label="total" />'),
    ("zoom_roi", '<zoom_roi x="0.1" y="0.2" w="0.4" h="0.4"/>'),
    ("qwen2_5_vl", tool_call("image_zoom_in_tool", bbox_2d=[50, 50, 250, 150], label="sign")),
    ("qwen3_vl", tool_call("image_zoom_in_tool", bbox_2d=[100, 200, 500, 600], img_idx=0)),
    ("deepeyes", tool_call("image_zoom_in_tool", bbox_2d=[200, 200, 1000, 600])),
    ("pixel_reasoner", tool_call("crop_image_normalized", bbox_2d=[0.1, 0.2, 0.5, 0.6])),
    (
        "mini_o3",
        '<grounding>{"bbox_2d": [0.1, 0.2, 0.5, 0.6], "source": "original_image"}</grounding>',
    ),
    (
        "glm",
        "<tool_call>image_zoom_in_tool\n<arg_key>label</arg_key><arg_value>x</arg_value>\n"
        "<arg_key>bbox_2d</arg_key>\n<arg_value>[100, 200, 500, 600]</arg_value></tool_call>",
    ),
    ("internvl", "<ref>total</ref><box>[[100, 200, 500, 600]]</box>"),
    ("internvl", "<box>[100,200,500,600]</box>"),
    ("qwen3_vl", tool_call("image_zoom_in_tool", bbox_2d="[100, 200, 500, 600]", img_idx="0")),
    (
        "qwen3_5",
        xml_call("image_zoom_in_tool", bbox_2d="[100, 200, 500, 600]", label="total", img_idx="0"),
    ),
    (
        "qwen3_5",
        "<tool_call><function=image_zoom_in_tool><parameter=bbox_2d>[100,200,500,600]</parameter>"
        "</function></tool_call>",
    ),
    ("kimi", kimi_call("image_zoom_in_tool", bbox_2d=[100, 200, 500, 600], label="total")),
]


@pytest.mark.parametrize(("syntax", "call"), CALLS)
@pytest.mark.parametrize("around", ["{}", "<think>{}</think>", "</think>so {} then<think>", "{}}}"])
def test_every_syntax_is_read_wherever_it_stands(syntax: str, call: str, around: str) -> None:
    action = only(around.format(call), syntax)
    assert action.fault is None
    assert action.box is not None
    assert action.box.as_tuple() == pytest.approx(EXPECTED.as_tuple())
    assert action.syntax == syntax
    assert action.raw in call


@pytest.mark.parametrize(
    ("call", "fault", "reason"),
    [
        ("<zoom_roi/>", "malformed_zoom", "missing x0 y0 x1 y1"),
        ("<zoom_roi x0=0.1 y0=0.2 x1=0.5/>", "malformed_zoom", "missing y1"),
        ("<zoom_roi x=0.1 y=0.2 w=0.5/>", "malformed_zoom", "missing h"),
        ("<zoom_roi x0=0.1 y0=0.2 w=0.5 h=0.1/>", "malformed_zoom", "mixed"),
        ("<zoom_roi x0=0.1 x0=0.2 y0=0.2 x1=0.5 y1=0.6/>", "malformed_zoom", "x0 is given twice"),
        ("<zoom_roi x0=a y0=0.2 x1=0.5 y1=0.6/>", "malformed_zoom", "not a number"),
        ("<zoom_roi x0=0,1 y0=0.2 x1=0.5 y1=0.6/>", "malformed_zoom", "not a number"),
        ("<zoom_roi x0=1_0 y0=0.2 x1=0.5 y1=0.6/>", "malformed_zoom", "not a number"),
        ("<zoom_roi x0=٠.١ y0=0.2 x1=0.5 y1=0.6/>", "malformed_zoom", "not a number"),
        ("<zoom_roi x0=０.１ y0=0.2 x1=0.5 y1=0.6/>", "malformed_zoom", "not a number"),
        ('<zoom_roi x0="" y0="0.2" x1="0.5" y1="0.6"/>', "malformed_zoom", "not a number"),
        ('<zoom_roi x0="0.1', "malformed_zoom", "not closed"),
        ("<zoom_roi x0=0.1 <zoom_roi", "malformed_zoom", "not closed"),
        ("<zoom_roi 0.1 0.2 0.5 0.6/>", "malformed_zoom", "cannot read"),
        ("<zoom_roi " + "x" * 5000 + "/>", "malformed_zoom", "too long"),
        ("<zoom_roi x0=0.5 y0=0.2 x1=0.1 y1=0.6/>", "invalid_bbox", "reversed"),
        ("<zoom_roi x0=0.5 y0=0.2 x1=0.5 y1=0.6/>", "invalid_bbox", "no area"),
        ("<zoom_roi x=0.5 y=0.2 w=-0.5 h=0.6/>", "invalid_bbox", "reversed"),
        ("<zoom_roi x0=nan y0=0.2 x1=0.5 y1=0.6/>", "invalid_bbox", "not a finite"),
        ("<zoom_roi x0=0.1 y0=0.2 x1=Infinity y1=0.6/>", "invalid_bbox", "not a finite"),
        ("<zoom_roi x0=-1e999 y0=0.2 x1=0.5 y1=0.6/>", "invalid_bbox", "not a finite"),
    ],
)
def test_a_near_miss_is_a_fault_with_a_reason(call: str, fault: str, reason: str) -> None:
    action = parse(call)[0]
    assert action.box is None
    assert action.fault == ToolStatus(fault)
    assert reason in action.reason


@pytest.mark.parametrize(
    ("syntax", "call", "reason"),
    [
        ("qwen3_vl", "<tool_call>{}</tool_call>", "unknown tool"),
        ("qwen3_vl", "<tool_call>[1]</tool_call>", "not a JSON object"),
        ("qwen3_vl", "<tool_call>{'name'}</tool_call>", "not valid JSON"),
        ("qwen3_vl", "<tool_call>" + "[" * 2000 + "</tool_call>", "not valid JSON"),
        ("qwen3_vl", tool_call("search", bbox_2d=[1, 2, 3, 4]), "unknown tool"),
        ("qwen3_vl", tool_call("image_zoom_in_tool", bbox_2d=[1, 2, 3]), "four numbers"),
        ("qwen3_vl", tool_call("image_zoom_in_tool", bbox_2d=[1, 2, 3, True]), "four numbers"),
        ("qwen3_vl", tool_call("image_zoom_in_tool", bbox_2d=["1", "2", "3", "4"]), "four numbers"),
        (
            "qwen3_vl",
            tool_call("image_zoom_in_tool", bbox_2d=[1, 2, 3, 4], img_idx=1),
            "only the page",
        ),
        ("pixel_reasoner", tool_call("crop_image_normalized", target_image=2), "only the page"),
        (
            "mini_o3",
            '<grounding>{"bbox_2d": [0,0,1,1], "source": "observation_1"}</grounding>',
            "no observation_1",
        ),
        (
            "mini_o3",
            '<grounding>{"bbox_2d": [0,0,1,1], "source": "photo"}</grounding>',
            "neither original_image nor observation_i",
        ),
        ("qwen3_5", xml_call("other", bbox_2d="[1, 2, 3, 4]"), "unknown tool"),
        ("qwen3_5", xml_call("image_zoom_in_tool"), "missing bbox_2d"),
        ("qwen3_5", xml_call("image_zoom_in_tool", bbox_2d="[1, 2]"), "four numbers"),
        ("qwen3_5", xml_call("image_zoom_in_tool", bbox_2d='"[1, 2, 3, 4]"'), "four numbers"),
        (
            "qwen3_5",
            xml_call("image_zoom_in_tool", bbox_2d="[1, 2, 3, 4]", img_idx="1"),
            "only the page",
        ),
        ("qwen3_5", "<tool_call>image_zoom_in_tool</tool_call>", "not <function=..>"),
        ("kimi", kimi_call("other", bbox_2d=[1, 2, 3, 4]), "unknown tool"),
        ("kimi", "<|tool_call_begin|>functions.image_zoom_in_tool:0<|tool_call_end|>", "arguments"),
        ("glm", "<tool_call>image_zoom_in_tool</tool_call>", "arguments"),
        ("glm", "<tool_call>other<arg_key>bbox_2d</arg_key></tool_call>", "unknown tool"),
        ("internvl", "<box>100, 200</box>", "four numbers"),
    ],
)
def test_near_misses_of_other_syntaxes_are_malformed(syntax: str, call: str, reason: str) -> None:
    action = only(call, syntax)
    assert action.fault is ToolStatus.MALFORMED_ZOOM
    assert reason in action.reason


@given(boxes(), boxes())
def test_a_box_in_an_observation_lies_in_what_its_crop_shows(crop: Box, inner: Box) -> None:
    corners = json.dumps(inner.as_tuple())
    call = f'<grounding>{{"bbox_2d": {corners}, "source": "observation_1"}}</grounding>'
    (action,) = parse_actions(call, SYNTAXES["mini_o3"], FRAME, [crop])
    assert action.box is not None
    assert action.box.intersection(crop).as_tuple() == pytest.approx(action.box.as_tuple())
    assert action.box.area == pytest.approx(inner.area * crop.area)


@pytest.mark.parametrize("syntax", [name for name in SYNTAXES if SYNTAXES[name].tool])
def test_a_syntax_that_calls_a_function_says_what_the_function_takes(syntax: str) -> None:
    tool = SYNTAXES[syntax].tool
    assert tool is not None
    schema = tool.schema()["function"]
    assert schema["name"] in SYNTAXES[syntax].example
    assert set(schema["parameters"]["required"]) <= schema["parameters"]["properties"].keys()
    assert all(given["description"] for given in schema["parameters"]["properties"].values())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400])
def test_json_numbers_that_are_not_finite_are_an_invalid_box(number: str) -> None:
    call = f'<grounding>{{"bbox_2d": [0, 0, {number}, 1]}}</grounding>'
    assert only(call, "mini_o3").fault is ToolStatus.INVALID_BBOX


def test_calls_come_in_the_order_written_with_faults_between() -> None:
    text = (
        "<think><zoom_roi x0=0 y0=0 x1=0.1 y1=0.1/></think> <zoom_roi x0=1/>"
        "<think><zoom_roi x0=0 y0=0 x1=0.2 y1=0.2/> <zoom_roi x0=0 y0=0 x1=0.3 y1=0.3/></think>"
    )
    assert [action.box.x1 if action.box else None for action in parse(text)] == [
        0.1,
        None,
        0.2,
        0.3,
    ]


def test_regression_calls_after_the_first_think_block_are_read() -> None:
    text = "<think>look</think><zoom_roi x0=0 y0=0 x1=0.1 y1=0.1/>"
    assert only(text).box == Box(0, 0, 0.1, 0.1)


@pytest.mark.parametrize("numbers", [(1, 1, 2, 2), (0, 0, 1, 1), (100, 200, 500, 600)])
def test_regression_the_unit_comes_from_the_syntax_and_never_from_magnitude(
    numbers: tuple[int, int, int, int],
) -> None:
    x0, y0, x1, y1 = numbers
    thousand = only(tool_call("image_zoom_in_tool", bbox_2d=list(numbers)), "qwen3_vl").box
    pixels = only(tool_call("image_zoom_in_tool", bbox_2d=list(numbers)), "deepeyes").box
    page = only(f"<zoom_roi x0={x0} y0={y0} x1={x1} y1={y1}/>").box
    assert thousand == Box(x0 / 1000, y0 / 1000, x1 / 1000, y1 / 1000)
    assert pixels == Box(x0 / 2000, y0 / 1000, x1 / 2000, y1 / 1000)
    assert page == Box(x0, y0, x1, y1)


@pytest.mark.parametrize(
    "text", ["", "zoom_roi", "<zoom_roix x0=1/>", "<zoom_roi-2 x0=1/>", "<b>x</b>"]
)
def test_text_without_a_call_has_no_actions(text: str) -> None:
    assert parse(text) == ()


@given(boxes(minimum=0.02))
def test_any_box_survives_being_written_and_read(box: Box) -> None:
    x0, y0, x1, y1 = box.as_tuple()
    assert only(f'<zoom_roi x0="{x0!r}" y0="{y0!r}" x1="{x1!r}" y1="{y1!r}"/>').box == box


FRAGMENTS = st.sampled_from(
    [
        *"<>/\"'=[]{},:. \n0159aNe-",
        *["<zoom_roi", " x0=", " y0=", " x1=", " y1=", "0.5", "1e9", "NaN", "/>", "<think>"],
        *["<tool_call>", "</tool_call>", '{"name":', '"image_zoom_in_tool"', '"arguments":'],
        *['"bbox_2d":', "[1,2,3,4]", "<grounding>", "</grounding>", "<box>", "</box>", "<arg_key>"],
        *[
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
            "<answer>",
            "</answer>",
            "٣",
            "\0",
            "\ud800",
        ],
    ]
)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(st.lists(FRAGMENTS | st.text(max_size=3), max_size=40).map("".join))
def test_no_text_raises_and_every_action_is_a_box_or_a_fault(syntax: str, text: str) -> None:
    for action in parse(text, syntax):
        assert (action.box is None) != (action.fault is None)
        assert action.fault is None or action.reason
        if action.box is not None:
            assert all(map(math.isfinite, action.box.as_tuple()))
            assert action.box.area >= 0
    answer = parse_answer(text)
    assert answer is None or (answer and answer in text)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(st.lists(FRAGMENTS, max_size=20).map("".join), st.text(alphabet="abc ,.", max_size=20))
def test_prose_around_a_text_changes_no_action(syntax: str, text: str, prose: str) -> None:
    closed = f"{text}</tool_call></grounding></box>>"
    assert parse(f"{prose} {closed} {prose}", syntax) == parse(closed, syntax)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>42</answer>", "42"),
        ("<think><answer>41</answer></think> <answer> 42\n</answer> done", "42"),
        ("<answer>41</answer><answer>42", "41"),
        ("<answer>41<answer>42</answer>", "42"),
        ("<answer> </answer>", None),
        ("<answer>42", None),
        ("42</answer>", None),
        ("42", None),
    ],
)
def test_the_last_complete_answer_counts(text: str, answer: str | None) -> None:
    assert parse_answer(text) == answer


HOSTILE = [
    "<zoom_roi ",
    '<zoom_roi x0="',
    "<zoom_roi x0=",
    "<zoom_roi x0=0.1 y0=0.1 x1=0.2 y1=0.2/>",
    "<tool_call>",
    "<tool_call>{",
    "<tool_call></tool_call>",
    '<grounding>{"bbox_2d":',
    "<box>[",
    "<answer></answer",
    "</answer><answer>",
    "a",
    " ",
]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_time_grows_linearly_with_hostile_text(syntax: str, pattern: str) -> None:
    """Quadratic growth would be 16-fold from one size to the next; timing noise is not."""

    def seconds(characters: int) -> float:
        text = pattern * (characters // len(pattern))
        best = math.inf
        for _ in range(3):
            start = time.process_time()
            parse(text, syntax)
            parse_answer(text)
            best = min(best, time.process_time() - start)
        return best

    small, large = seconds(20_000), seconds(320_000)
    assert large < 0.02 + 16 * 5 * small
