"""The leaderboard as LaTeX; `tests/tex` compiles it."""

from __future__ import annotations

from active_perception_r1.scoring.latex import as_latex, escaped
from tests.leaderboard_rows import a_row


def test_intervals_and_corrected_significance_are_marked() -> None:
    sure, unsure = {"delta_baseline": 0.5, "p_value": 1e-9, "p_holm": 2e-9}, {}
    unsure = {"delta_vs_start": -0.1, "p_vs_start": 0.2, "p_vs_start_holm": 0.4}
    text = as_latex([a_row("m_1", "baseline"), a_row("m_1", "active", **sure, **unsure)])
    assert r"m\_1 & baseline & 10 & 0.500 [0.300, 0.700] & -- & -- \\" in text
    assert r" & active & 10 & 0.500 [0.300, 0.700] & $+0.500$\rlap{$^{***}$} & $-0.100$ \\" in text
    assert "Holm's correction for 2 tests" in text


def test_a_row_without_an_answer_has_dashes() -> None:
    assert "m & active & 0 & -- & -- & --" in as_latex([a_row(n=0, accuracy=None)])


def test_names_cannot_be_commands() -> None:
    assert escaped(r"\input{/etc/passwd} $x_1^2$ ~%&#") == (
        r"\textbackslash{}input\{/etc/passwd\} \$x\_1\textasciicircum{}2\$"
        r" \textasciitilde{}\%\&\#"
    )
    assert escaped("naïve\n") == "na?ve?"
