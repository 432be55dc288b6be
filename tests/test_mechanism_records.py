from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.mechanism_records import (
    FILE,
    ClosedArm,
    DirectionFacts,
    Inside,
    InsideArm,
    Passage,
    read_inside,
    write_inside,
)

ARM = InsideArm(
    arm="0a",
    label="rank 4 seed 1",
    role="task",
    method="lora",
    rank=4,
    u=0.01,
    trains_a=True,
    optimizer="adamw",
    seed=1,
    step=8,
    of_activations=0.2,
    of_weights=None,
    random_of_activations=0.004,
    random_of_weights=0.003,
    along=0.5,
    cosine=0.4,
    shift_norm=0.1,
    separation=None,
    agreement=0.9,
    intruders=3,
    layers=28,
)
PASSAGE = Passage("0a", 2, ("step 2", "skill 0.5"), 1.5, 0.1, None, 0.2)
FACTS = DirectionFacts(9, 4, 3, (1.0, 2.0), (0.01, 0.02), 0.004)
INSIDE = Inside(FACTS, 5, (ARM, ARM), (PASSAGE,))
CLOSED = (
    ClosedArm("base", "open", 2.0, 2, 100, 100),
    ClosedArm("0a", "open", 1.0, 42, 100, 120),
    ClosedArm("0a", "closed", 1.3, 12, 100, 120),
    ClosedArm("0a", "random", 1.0, 42, 100, 120),
)


def test_what_was_found_is_read_back_as_it_was_written(tmp_path: Path):
    assert read_inside(tmp_path) is None
    write_inside(tmp_path, INSIDE)
    assert read_inside(tmp_path) == INSIDE


def test_an_edited_file_is_refused_with_what_to_do(tmp_path: Path):
    write_inside(tmp_path, INSIDE)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace('"intruders": 3', '"intruders": 0', 1))
    with pytest.raises(UserError, match="was edited after it was written; remove it and run"):
        read_inside(tmp_path)
