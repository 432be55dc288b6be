"""What is left to do, group by group."""

from dataclasses import replace

from rankshift.executor.resolving import resolve_study
from rankshift.executor.run import make_plan
from rankshift.executor.todo import count_crossings, find_todo, list_todo
from rankshift.grid import Derived
from rankshift.records import StepRecord, write_records
from rankshift.runs import make_recipe
from rankshift.study_file import read_study


def resolve(write_study, tmp_path, **changes):
    study = replace(read_study(write_study()), **changes)
    resolved = resolve_study(study, tmp_path / "runs")
    return resolved, make_plan(resolved)


def test_a_study_that_has_not_begun_has_every_arm_to_train_and_every_checkpoint_to_answer(
    write_study, tmp_path
):
    resolved, groups = resolve(write_study, tmp_path)
    todo = list_todo(groups, resolved, derived=False)
    assert sum(len(one.group.arms) for one in todo) == len(resolved.arms)
    assert all(one.train for one in todo)
    trained = [arm for arm in resolved.arms.values() if arm.is_trained]
    checkpoints = len(resolved.study.training.checkpoints)
    assert sum(one.answers for one in todo) == 1 + len(trained) * checkpoints
    assert list_todo(groups, resolved, derived=True) == []


def test_crossings_that_may_come_are_counted_for_arms_that_are_yet_to_train(write_study, tmp_path):
    study = read_study(write_study())
    training = replace(study.training, crossings=(0.5, 0.9))
    data = replace(study.data, floor=0.1, twin_floor=0.1)
    assert count_crossings(training) == 2
    resolved, groups = resolve(write_study, tmp_path, training=training, data=data)
    plain, plain_groups = resolve(write_study, tmp_path)
    more, fewer = (
        sum(todo.answers for todo in list_todo(which, found, derived=False))
        for which, found in ((groups, resolved), (plain_groups, plain))
    )
    trained = sum(arm.is_trained for arm in resolved.arms.values())
    assert more == fewer + 2 * trained


def test_what_is_made_of_a_finetune_that_is_yet_to_cross_may_cross_as_often(write_study, tmp_path):
    study = read_study(write_study())
    training = replace(study.training, crossings=(0.5, 0.9))
    data = replace(study.data, floor=0.1, twin_floor=0.1)
    derived = Derived(norms=(1.0,))
    resolved, groups = resolve(write_study, tmp_path, training=training, data=data, derived=derived)
    later = list_todo(groups, resolved, derived=True)
    made = sum(arm.is_derived for arm in resolved.arms.values())
    assert sum(todo.answers for todo in later) == made * (len(training.checkpoints) + 2)


def test_nothing_is_made_of_a_finetune_that_stopped(write_study, tmp_path):
    resolved, groups = resolve(write_study, tmp_path, derived=Derived(norms=(1.0,)))
    (group,) = [g for g in groups if len(g.arms) > 1 and resolved.arms[g.arms[0]].is_derived][:1]
    arm = resolved.arms[group.arms[0]]
    source = next(name for name, other in resolved.arms.items() if other == arm.source)
    files = resolved.run.arm(source)
    files.write_arm(
        arm.source, make_recipe(arm.source, resolved.study, resolved.parts.fingerprints)
    )
    write_records(files.steps_path, [StepRecord(1, None, 9, None, 1e-2)])
    left = find_todo(group, resolved)
    assert left is not None
    assert left.group.arms == group.arms[1:]
