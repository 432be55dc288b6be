from dataclasses import replace

import pytest

from rankshift.analysis.foretold import describe_foretold
from rankshift.errors import UserError
from rankshift.forecast_records import FILE, Foretold, write_evidence
from rankshift.runs import StudyRun
from tests.test_forecast_records import FINETUNE


def test_a_forecast_has_the_rate_of_its_own_arm(tmp_path):
    other = replace(FINETUNE, arm="0b", rate=0.9, rank=8)
    foretold = [Foretold("0b", None, 0.5, 0.2, 0.8), Foretold("0a", 0.05, 0.1, 0.0, 0.3)]
    write_evidence(tmp_path / FILE, [FINETUNE, other], foretold)
    found = describe_foretold(StudyRun(tmp_path))
    assert found is not None
    assert [(one["arm"], one["rank"], one["foretold"], one["rate"]) for one in found] == [
        ("0b", 8, 0.5, 0.9),
        ("0a", 4, 0.1, 0.3),
    ]


def test_a_file_that_was_cut_is_refused(tmp_path):
    write_evidence(tmp_path / FILE, [FINETUNE])
    path = tmp_path / FILE
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UserError, match="not JSON, it was cut or edited"):
        describe_foretold(StudyRun(tmp_path))
