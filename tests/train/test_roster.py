from dataclasses import replace

from rankshift.records import StepRecord
from tests.watched_groups import PLAIN, build_group


def test_a_groups_own_rows_are_those_of_the_dataset_its_arms_learn(tmp_path, make_rows, make_arm):
    group = build_group(tmp_path, make_rows(44), [make_arm(1)], PLAIN)
    assert group.own_held_out.name == "counting"
    group.arms = [replace(group.arms[0], role="twin", dataset="other")]
    assert group.own_held_out is group.held_out[1]


def test_a_group_that_forgets_has_empty_records_of_every_arm(tmp_path, make_rows, make_arm):
    group = build_group(tmp_path, make_rows(44), [make_arm(1), make_arm(2)], PLAIN)
    group.steps = [[StepRecord(1, 1.0, 3, 1.0, 0.1)], []]
    group.forget()
    assert group.steps == group.losses == group.looks == [[], []]
    assert group.crossings == group.divergences == [[], []]
    group.steps[0].append(StepRecord(1, 1.0, 3, 1.0, 0.1))
    assert group.steps[1] == []
