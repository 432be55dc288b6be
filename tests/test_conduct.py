from rankshift.conduct import Compute, Judging
from rankshift.study import Base, Evaluation, Study


def test_a_study_that_says_nothing_of_how_it_is_carried_out_has_one_judge_and_asks_it_in_parallel():
    study = Study(name="x", base=Base("y"), evaluation=Evaluation(("z",), judge="a"))
    assert (study.judging, study.compute) == (Judging(), Compute())
    assert study.judges == ("a",)
    assert study.judging.connections > 1
