"""What of an arm is done, from its files."""

from dataclasses import replace

from rankshift.arms import Arm
from rankshift.completion import (
    find_due_steps,
    find_measured_steps,
    find_unrelated_set,
    is_trained,
    list_held_out_roles,
    list_held_out_sets,
)
from rankshift.defence import Defences
from rankshift.opening import open_run
from rankshift.records import StepRecord, write_records
from rankshift.runs import identify_arms, make_recipe
from rankshift.status import describe_progress
from rankshift.watch_files import crossings_path, divergence_path, looks_path
from rankshift.watch_records import CrossingRecord, DivergenceRecord, LookRecord
from tests.begun_study import PRINTS, STUDY, add_records, measure, train

WATCHED = replace(STUDY.training, crossings=(0.5,))
FAR = replace(
    STUDY, training=WATCHED, data=replace(STUDY.data, floor=0.1, twin_floor=0.1, unrelated="far")
)
FAR_PRINTS = replace(PRINTS, unrelated="f")


def test_a_crossing_is_due_like_a_checkpoint_once_it_is_recorded(tmp_path):
    run = open_run(FAR, FAR_PRINTS, tmp_path)
    arms = identify_arms(FAR, FAR_PRINTS)
    name = next(name for name, arm in arms.items() if arm.role == "task")
    files, recipe = run.arm(name), make_recipe(arms[name], FAR, FAR_PRINTS)
    train(files, (1, 2, 3, 4))
    for step in (2, 4):
        measure(files, step, ["insecure"])
    assert is_trained(files, recipe, ("insecure",)) is False  # nothing tells of looks
    write_records(looks_path(files), [LookRecord(0, 1.0)])
    write_records(crossings_path(files), [])
    assert find_due_steps(files, recipe) == (2, 4)
    assert is_trained(files, recipe, ("insecure",))
    add_records(crossings_path(files), [CrossingRecord("skill", 0.5, 3, 0.6, 0.5, 1.0, 0.1)])
    assert find_due_steps(files, recipe) == (2, 3, 4)
    assert not is_trained(files, recipe, ("insecure",))
    assert describe_progress(run.directory).arms[1].progress.checkpoints == 3
    measure(files, 3, ["insecure"])
    assert is_trained(files, recipe, ("insecure",))
    # The study also asks for divergences.
    assert find_unrelated_set(arms[name], FAR) == "far"
    assert not is_trained(files, recipe, ("insecure",), "far")
    write_records(divergence_path(files), [DivergenceRecord(s, "far", 0.1, 9, 3) for s in (2, 3)])
    assert find_measured_steps(files, recipe, ("insecure",), "far") == {2, 3}
    add_records(divergence_path(files), [DivergenceRecord(4, "far", 0.1, 9, 3)])
    assert is_trained(files, recipe, ("insecure",), "far")
    # What comes after the step that stopped an arm is not due.
    add_records(files.steps_path, [StepRecord(4, None, 9, None, 1e-3)])
    assert find_due_steps(files, recipe) == (2, 3)


def test_a_whole_given_model_has_no_base_beside_it_to_diverge_from():
    assert find_unrelated_set(Arm("model", "task", name="theirs"), FAR) is None
    assert find_unrelated_set(Arm("adapter", "task", name="theirs"), FAR) == "far"
    assert find_unrelated_set(Arm("base", "base"), STUDY) is None


def test_the_base_is_measured_on_the_twins_rows_where_the_grid_has_defences():
    grid = replace(STUDY.grid, defences=(Defences("spectral", (0.1,)),))
    defended = replace(STUDY, grid=grid)
    base = Arm("base", "base")
    assert list_held_out_sets(base, STUDY) == ("insecure",)
    assert list_held_out_sets(base, defended) == ("insecure", "secure")
    for study in (STUDY, defended):
        assert list_held_out_roles("task", study) == ("task",)
        assert list_held_out_roles("twin", study) == ("task", "twin")
    without = replace(defended, data=replace(defended.data, twin=None))
    assert list_held_out_sets(base, without) == ("insecure",)
