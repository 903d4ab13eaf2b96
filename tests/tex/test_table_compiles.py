"""A real LaTeX compiles the leaderboard, of results of today and with names of every kind."""

from __future__ import annotations

import string
import subprocess
from pathlib import Path

import pytest

from active_perception_r1.scoring.latex import as_latex
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, read_leaderboard
from tests.leaderboard_rows import a_row
from tests.workflow import REPOSITORY

PAPER = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
\begin{table*}\input{leaderboard.tex}\end{table*}
\end{document}
"""
PINNED = sorted((REPOSITORY / "results" / "pinned").glob("*/leaderboard.json"))
HOSTILE = a_row(string.printable + "\\input{x}é", delta_baseline=0.1, p_value=0.01, p_holm=0.01)


@pytest.mark.parametrize("rows", [*map(read_leaderboard, PINNED), [HOSTILE]])
def test_it_compiles(rows: list[LeaderboardRow], tmp_path: Path) -> None:
    (tmp_path / "paper.tex").write_text(PAPER)
    (tmp_path / "leaderboard.tex").write_text(as_latex(rows))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout or rows == [HOSTILE]
    assert (tmp_path / "paper.pdf").exists()
