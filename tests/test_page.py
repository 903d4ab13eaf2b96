"""The page of a study: three sentences, tables whose numbers lead to episodes, nothing to load."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
import yaml

from active_perception_r1.cli import main
from active_perception_r1.config import parse_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.report.figures import accuracy, drawn_of
from active_perception_r1.report.page.findings import findings
from active_perception_r1.report.page.page import write_page
from active_perception_r1.scoring.diagnosis_row import Diagnosis, Share
from active_perception_r1.scoring.leaderboard_row import Estimate, Layout, LeaderboardRow
from tests.leaderboard_rows import a_compared_row as a_row
from tests.leaderboard_rows import write_rows
from tests.workflow import REPOSITORY

ATTACK = "<script>alert(1)</script>"
BASELINE = a_row("m", "baseline", accuracy=0.1, ci_low=0.05, ci_high=0.2)
ACTIVE = a_row(
    "m",
    "active",
    accuracy=0.8,
    ci_low=0.7,
    ci_high=0.9,
    delta_baseline=0.7,
    p_value=1e-9,
    p_holm=2e-9,
    gained=7,
    harmed=0,
    zoom_rate=1.0,
    by_layout={"form": Layout(10, 0.8)},
)
BLANK = a_row("m", "blank_crop", accuracy=0.1, ci_low=0.05, ci_high=0.2)
ORACLE = a_row("m", "oracle", accuracy=0.9, ci_low=0.8, ci_high=0.95)


def diagnosis() -> Diagnosis:
    some = Share(1, 4, 0.25, 0.05, 0.7)
    return Diagnosis(
        model="m",
        mode="active",
        n=4,
        n_errors=0,
        effects=dict.fromkeys(("call_gain", "schema_gain", "call_harm", "schema_harm"), some),
        accuracy=dict.fromkeys(("no_zoom", "miss", "hit"), some),
        coverage=[0.0] * 5,
        area=[0.1] * 5,
        redundant=some,
        text_size=[],
        headroom_by="oracle",
        headroom=dict.fromkeys(("gained", "no_zoom", "missed", "misread"), some),
        necessity={"recall": some},
        tool_only_beside=["baseline"],
    )


@pytest.fixture
def plan() -> StudyPlan:
    shipped = yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text())
    return StudyPlan(parse_config(shipped), "demo")


@pytest.fixture
def page(plan: StudyPlan, tmp_path: Path) -> str:
    rows = [BASELINE, ACTIVE, BLANK, ORACLE]
    accuracy.draw(rows, tmp_path / "accuracy.svg")
    drawn = drawn_of(plan, [tmp_path / "accuracy.svg"])
    write_page(plan, rows, [diagnosis()], drawn, tmp_path / "index.html")
    return (tmp_path / "index.html").read_text(encoding="utf-8")


class TestFindings:
    def test_three_sentences_say_what_was_found_and_how_sure_it_is(self) -> None:
        assert findings([BASELINE, ACTIVE, BLANK, ORACLE]) == [
            "When it may zoom (active), m answers 0.800 [0.700, 0.900] of 10 questions, without"
            " looking closer 0.100 [0.050, 0.200]: a difference of +0.700 (p < .001).",
            "Shown the evidence (oracle), it answers 0.900 [0.800, 0.950], which is what looking"
            " could reach.",
            "The control, blank_crop, comes to 0.100 [0.050, 0.200], so what it sees in its crops"
            " is what counts.",
        ]

    def test_a_trained_model_is_compared_with_what_it_started_from(self) -> None:
        trained = a_row(
            "m+grpo",
            accuracy=0.95,
            ci_low=0.9,
            ci_high=1.0,
            delta_vs_start=0.15,
            p_vs_start=0.2,
            p_vs_start_holm=0.4,
        )
        _, training, control = findings([BASELINE, ACTIVE, trained], {"m+grpo": "m"})
        assert training == (
            "Training took it there from 0.800 [0.700, 0.900]: no difference is shown, +0.150"
            " (p = 0.400, corrected for 2 tests)."
        )
        assert control == "Whether the crop is what helps is open: no control was run."

    def test_a_control_that_does_as_well_takes_the_credit_away(self) -> None:
        strong = a_row("m", "random_crop", accuracy=0.75, ci_low=0.6, ci_high=0.85)
        sentence = findings([BASELINE, ACTIVE, BLANK, strong])[2]
        assert sentence.startswith("The strongest of 2 controls, random_crop, comes to 0.750")
        assert "not shown" in sentence

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([BASELINE], "no mode with a zoom was run"),
            ([ACTIVE], "no baseline was run to compare it with"),
            ([a_row(n=0, accuracy=None)], "Nothing was answered."),
        ],
    )
    def test_what_was_not_run_is_said(self, rows: list[LeaderboardRow], said: str) -> None:
        assert said in findings(rows)[0]


class TestLinks:
    def test_numbers_lead_to_their_episodes(self, page: str) -> None:
        found = {
            text: {key: value[0] for key, value in parse_qs(unquote(link)).items()}
            for link, text in re.findall(r'<a href="gallery/index.html#([^"]*)">([^<]*)</a>', page)
        }
        own = {"amp;mode": "active", "model": "m"}
        assert found["0.800 [0.700, 0.900]"] == own
        assert found["+7/-0"] == own | {"amp;change": "gained"}
        assert found["0.800 (n=10)"] == own | {"amp;layout": "form"}
        assert any("amp;headroom" in one for one in found.values())

    def test_filters_are_those_of_the_gallery(self, page: str) -> None:
        script = REPOSITORY / "src/active_perception_r1/report/gallery/assets/filters.js"
        known = set(re.findall(r"^  (\w+): \(episode\)", script.read_text(), re.MULTILINE))
        used = set(re.findall(r"&amp;(\w+)=", page))
        assert {"mode", "layout", "headroom", "change"} <= used <= known


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.loaded += [value or "" for name, value in attributes if name in ("src", "srcset")]


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    tags = Tags(page)
    assert "script" not in tags.seen
    assert "link" not in tags.seen
    assert all(address.startswith("data:image/svg+xml;base64,") for address in tags.loaded)
    assert len(tags.loaded) == 1
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "unsafe" not in policy[1]
    assert "script-src" not in policy[1]  # none, by default


def test_hostile_names_stay_text(plan: StudyPlan, tmp_path: Path) -> None:
    row = a_row(ATTACK, "active", n_errors=1, errors=f"{ATTACK} **bold**")
    write_page(plan, [row], [], [], tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "script" not in Tags(page).seen
    assert "&lt;script&gt;" in page


def test_rewards_of_modes_without_a_tool_are_not_shown_as_a_punishment(
    plan: StudyPlan, tmp_path: Path
) -> None:
    means = {**ACTIVE.means, "reward": Estimate(-0.05, None, None)}
    rows = [a_row("m", mode, means=means) for mode in ("baseline", "active")]
    write_page(plan, rows, [], [], tmp_path / "index.html")
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("-0.050") == 1


def test_the_command_names_a_diagnosis_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "leaderboard.json", [ACTIVE])
    (tmp_path / "diagnosis.json").write_text(json.dumps({"rows": [{}]}))
    command = ["page", "--study", "demo", "--config", str(REPOSITORY / "workflow_config.yaml")]
    command += ["--leaderboard", str(tmp_path / "leaderboard.json")]
    command += [
        "--diagnosis",
        str(tmp_path / "diagnosis.json"),
        "--output",
        str(tmp_path / "p.html"),
    ]
    assert main(command) == 1
    assert "diagnosis.json: not a diagnosis of this version" in capsys.readouterr().err
