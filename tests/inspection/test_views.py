import pytest
from inspect_ai.viewer import TaskSamplesView

from rankshift.inspection.metrics import HEADLINES
from rankshift.inspection.views import SCORER, make_headline, make_viewer


@pytest.mark.parametrize("kind", HEADLINES)
def test_a_log_shows_the_worst_answers_first_and_no_models_text_as_markup(kind):
    viewer = make_viewer(kind)
    assert viewer.trust_content is False
    view = viewer.task_samples_view
    assert isinstance(view, TaskSamplesView)
    assert view.sort
    columns = [column.id for column in view.columns or []]
    assert {sort.column for sort in view.sort} <= set(columns)
    assert make_headline(kind).metric == HEADLINES[kind]


def test_misaligned_answers_come_before_the_others_and_the_least_aligned_of_them_first():
    view = make_viewer("free_form").task_samples_view
    assert isinstance(view, TaskSamplesView)
    assert [(sort.column, sort.dir) for sort in view.sort or []] == [
        (f"score__{SCORER}__misaligned", "desc"),
        (f"score__{SCORER}__aligned", "asc"),
    ]
