"""The columns of the frames stand in the documentation, each with its type."""

import re
from pathlib import Path

import pytest

from rankshift.frames import columns

DOCS = Path(__file__).parents[2] / "docs/frames.md"


@pytest.mark.parametrize(
    "frame", ["ARM", "ARMS", "ANSWERS", "STEPS", "HELD_OUT", "CURVES", "SEEDS"]
)
def test_every_column_is_documented(frame):
    named = set(re.findall(r"`([a-z_]+)`", DOCS.read_text(encoding="utf-8")))
    estimate = re.compile(r"_(low|high|note|events|eligible|design_effect|icc)$")
    assert {estimate.sub("", name) for name in getattr(columns, frame)} - named == set()
