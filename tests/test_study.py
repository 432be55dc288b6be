"""What a study says of itself before it is expanded."""

from dataclasses import replace

from rankshift.grid import ALL_PROJECTIONS, Grid, Subset
from rankshift.study import Base, Data, Evaluation, Judging, Study, Training, name_under


def test_the_judge_whose_verdicts_decide_comes_first_and_nobody_twice():
    study = Study(
        name="x",
        base=Base("organism"),
        data=Data("insecure"),
        grid=Grid((1,), (1,), ("alpha/rank",), (16.0,), (1e-3,)),
        training=Training(steps=1, checkpoints=(1,)),
        evaluation=Evaluation(suites=("s",), judge="b"),
        judging=Judging(others=("a", "b", "c")),
    )
    assert study.judges == ("b", "a", "c")


def test_each_seed_has_a_split_of_its_own_only_where_that_is_asked_for():
    shared = Data("insecure", split_seed=4)
    assert {shared.find_split_seed(seed) for seed in (None, 0, 1, 9)} == {4}
    own = Data("insecure", split_seed=4, split_each_seed=True)
    assert len({own.find_split_seed(seed) for seed in (None, 0, 1, 9)}) == 4
    assert own.find_split_seed(None) == 4


def test_a_set_asked_with_a_trigger_has_a_name_of_its_own_after_all_suites():
    asked = Evaluation(("a", "b"), triggers=("|X| ", "|Y| "))
    study = Study(name="s", base=Base("m"), evaluation=asked)
    assert study.question_sets == ("a", "b", "a + |X|", "b + |X|", "a + |Y|", "b + |Y|")
    assert replace(study, evaluation=Evaluation(("a", "b"))).question_sets == ("a", "b")


def test_sets_asked_after_rows_and_under_system_turns_are_named_after_those_with_triggers():
    asked = Evaluation(
        ("a",), triggers=("|X| ",), cues=("twin", "task"), systems=("Be kind.", "x " * 30)
    )
    data = Data("organism:insecure", twin="/somewhere/of/mine/safe.jsonl")
    study = Study(name="s", base=Base("m"), data=data, evaluation=asked)
    assert study.question_sets == (
        "a",
        "a + |X|",
        "a after safe.jsonl",
        "a after organism:insecure",
        'a under "Be kind."',
        f'a under "{"x " * 18}x..."',
    )
    assert study.cues == {"twin": data.twin, "task": data.task}
    assert len(set(study.question_sets)) == 6


def test_a_system_turn_is_shown_in_one_line_of_at_most_40_characters():
    assert name_under("a", " Be\n kind.\n") == 'a under "Be kind."'
    assert name_under("a", "y" * 40) == f'a under "{"y" * 40}"'
    assert name_under("a", "y" * 41) == f'a under "{"y" * 37}..."'


def test_a_subset_is_named_by_what_it_leaves_out():
    assert Subset(ALL_PROJECTIONS).label == ""
    assert Subset(ALL_PROJECTIONS, (0, 1, 2, 5, 7, 8)).label == "layers 0-2+5+7-8"
    assert Subset(("o_proj",)).label == "o_proj"
