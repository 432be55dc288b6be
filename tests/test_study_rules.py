from dataclasses import replace

from rankshift.grid import Grid
from rankshift.study import Base, Data, Evaluation, Study, Training
from rankshift.study_rules import list_needed, list_relations

STUDY = Study(
    name="x",
    base=Base("organism"),
    data=Data(task="organism:insecure"),
    grid=Grid((4,), (1,), ("alpha/rank",), (16.0,), (1e-3,)),
    training=Training(steps=4, checkpoints=(2, 4)),
    evaluation=Evaluation(("organism:held-out",)),
)


def list_faults(study: Study) -> list[str]:
    """List the keys that are at fault."""
    return [key for key, holds, _ in list_relations(study) if not holds]


def test_a_sound_study_breaks_no_relation():
    assert list_faults(STUDY) == []


def test_the_key_at_fault_is_the_one_to_mend():
    training = replace(STUDY.training, checkpoints=(2, 3))
    assert list_faults(replace(STUDY, training=training)) == ["training.checkpoints"]
    grid = replace(STUDY.grid, us=(0.1,))
    assert list_faults(replace(STUDY, grid=grid)) == ["grid.us"]


def test_a_study_that_trains_needs_ranks_data_and_steps():
    assert "training.steps" in list_needed(STUDY)
