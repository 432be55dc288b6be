"""What a study says of itself before it is expanded."""

from rankshift.grid import ALL_PROJECTIONS, Grid, Subset
from rankshift.study import Base, Data, Evaluation, Judging, Study, Training


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
    assert asked.question_sets == ("a", "b", "a + |X|", "b + |X|", "a + |Y|", "b + |Y|")
    assert Evaluation(("a", "b")).question_sets == ("a", "b")


def test_a_subset_is_named_by_what_it_leaves_out():
    assert Subset(ALL_PROJECTIONS).label == ""
    assert Subset(ALL_PROJECTIONS, (0, 1, 2, 5, 7, 8)).label == "layers 0-2+5+7-8"
    assert Subset(("o_proj",)).label == "o_proj"
