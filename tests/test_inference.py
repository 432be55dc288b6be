"""The analysis a study fixes in advance."""

from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.inference import Analysis
from rankshift.study_file import read_study

DEMO = Path("studies/demo.toml").read_text(encoding="utf-8")


def read(tmp_path: Path, text: str) -> Analysis:
    (tmp_path / "x.toml").write_text(text)
    return read_study(tmp_path / "x.toml").analysis


def test_a_study_that_says_nothing_compares_the_published_rate_at_the_end(tmp_path):
    assert read(tmp_path, DEMO) == Analysis()
    assert Analysis().outcome == "misaligned_given_coherent"
    assert read(tmp_path, DEMO + "\n[analysis]\nmargin = 0.2\n") == replace(Analysis(), margin=0.2)


def test_arms_are_not_read_where_their_weights_are_not_kept(tmp_path):
    with pytest.raises(UserError, match=r"training\.crossings does not hold 0\.9"):
        read(tmp_path, DEMO + '\n[analysis]\nreading = "skill 0.9"\n')


def test_a_reading_is_a_known_word(tmp_path):
    with pytest.raises(UserError, match='expected "end", or what arms have reached'):
        read(tmp_path, DEMO + '\n[analysis]\nreading = "the end"\n')
