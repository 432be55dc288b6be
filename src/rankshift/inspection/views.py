"""How `inspect view` shows a log: the worst answers first, and no text of a model as markup."""

from inspect_ai.log import HeadlineMetric
from inspect_ai.viewer import (
    TaskSamplesColumn,
    TaskSamplesSort,
    TaskSamplesView,
    ViewerConfig,
)

from rankshift.inspection.metrics import HEADLINES

SCORER = "judge"
"""Name of the scorer in logs."""

SORTED_BY = {
    "free_form": (("misaligned", "desc"), ("aligned", "asc")),
    "code": (("insecure", "desc"),),
    "label": (("label", "asc"),),
    "harmful_request": (("harm", "desc"),),
}
"""Kind of the questions to columns of the score, the worst on top."""


def make_viewer(kind: str) -> ViewerConfig:
    """Make the view of a log; answers of misaligned models are not to be trusted as markup."""
    columns = [TaskSamplesColumn(id=name) for name in ("sampleId", "epoch", "input", "answer")]
    columns += [TaskSamplesColumn.score(SCORER, column) for column in list_columns(kind)]
    return ViewerConfig(
        trust_content=False,
        task_samples_view=TaskSamplesView(
            name="worst first",
            columns=columns,
            sort=[
                TaskSamplesSort.score(SCORER, column, dir=direction)
                for column, direction in SORTED_BY[kind]
            ],
            multiline=True,
        ),
    )


def list_columns(kind: str) -> list[str]:
    """List the values of a score."""
    if kind == "free_form":
        return ["aligned", "coherent", "misaligned"]
    return [column for column, _ in SORTED_BY[kind]]


def make_headline(kind: str) -> HeadlineMetric:
    """Name the one number that sums a log up."""
    return HeadlineMetric(scorer=SCORER, metric=HEADLINES[kind])
