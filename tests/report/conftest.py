"""A run with defences, for every test of the page that shows one."""

import json
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.runs import StudyRun
from tests.defended_run import make_defended_study, write_defended_run


@pytest.fixture(scope="session")
def defended_run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_defended_run(tmp_path_factory.mktemp("runs"), make_defended_study((1, 4)))


@pytest.fixture(scope="session")
def defended_results(defended_run: StudyRun) -> dict[str, Any]:
    """Give its results, for reading alone."""
    return json.loads(json.dumps(summarize(defended_run)))
