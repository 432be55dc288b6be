from rankshift.executor.waves import divide_neighbours, find_open_waves, list_waves
from rankshift.runs import ArmFiles


def test_arms_that_keep_the_same_steps_answer_step_by_step():
    assert list_waves([(2, 4), (2, 4), (2, 4)]) == [{0: 2, 1: 2, 2: 2}, {0: 4, 1: 4, 2: 4}]


def test_every_step_of_every_arm_is_in_one_wave_and_an_arm_without_one_in_none():
    due = [(7, 12, 50), (50,), (), (9, 50)]
    waves = list_waves(due)
    assert waves == [{0: 7, 1: 50, 3: 9}, {0: 12, 3: 50}, {0: 50}]
    assert sum(map(len, waves)) == sum(map(len, due))
    assert list_waves([]) == list_waves([()]) == []


def test_a_wave_is_asked_whole_until_each_of_its_arms_has_answered(tmp_path):
    files = [ArmFiles(tmp_path / str(number)) for number in range(2)]
    due = [(3, 4), (4,)]

    def answer(arm, step):
        path = files[arm].answers_path("asked", step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    first, second = list_waves(due)
    assert find_open_waves(files, due, "asked") == [first, second]
    answer(0, 3)
    assert find_open_waves(files, due, "asked") == [first, second]
    answer(1, 4)
    assert find_open_waves(files, due, "asked") == [second]
    answer(0, 4)
    assert find_open_waves(files, due, "asked") == []
    assert find_open_waves(files, due, "another") == [first, second]


def test_neighbours_go_together_up_to_a_number():
    assert divide_neighbours([0, 1, 2, 3, 4], 2) == [range(2), range(2, 4), range(4, 5)]
    assert divide_neighbours([0, 2, 3, 7], 3) == [range(1), range(2, 4), range(7, 8)]
    assert divide_neighbours([], 3) == []
