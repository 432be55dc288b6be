from dataclasses import replace

import numpy as np
import pytest

from rankshift.analysis.forecast import find_fault, list_evidence, make_forecast, try_gate
from rankshift.forecast_records import Subject
from tests.analysis.test_leaderboard import draw
from tests.test_forecast_records import FINETUNE

KNOWN = draw(np.random.default_rng(8))


def ask(share: float, rank: int = 2, u: float = 0.01) -> Subject:
    """Ask about a finetune on data that are insecure in a share."""
    near = [one for one in KNOWN if f"-{share}" in one.study]
    return replace(near[0], rank=rank, u=u)


def test_more_insecure_data_is_foretold_to_misalign_more_and_one_line_a_rank():
    harmless, dangerous = (
        make_forecast([ask(share), ask(share, 8), ask(share, 8)], KNOWN, None, None)
        for share in (0.0, 1.0)
    )
    assert [one.rank for one in dangerous.forecast] == [2, 8]
    for low, high in zip(harmless.forecast, dangerous.forecast, strict=True):
        assert low.rate < 0.1 < 0.4 < high.rate
        for one in (low, high):
            assert 0 <= one.low < one.rate < one.high <= 1
    assert harmless.when == "before training"
    assert harmless.calibration is not None
    assert (harmless.calibration.finetunes, harmless.calibration.studies) == (120, 15)
    assert harmless.calibration.bases == ("b0", "b1", "b2")
    assert 0.8 < harmless.calibration.coverage <= 1


def test_a_rank_or_step_size_beyond_those_calibrated_on_is_strange():
    found = make_forecast(
        [ask(0.5), ask(0.5, 16), ask(0.5, 32), ask(0.5, 4, u=0.05)], KNOWN, None, None
    )
    assert found.calibration is not None
    assert (found.calibration.ranks, found.calibration.us) == ((2, 16), (0.01, 0.01))
    assert found.calibration.steps == (60,)
    strange = [found.calibration.find_strange(one) for one in found.forecast]
    assert strange == [False, False, True, True]


def test_the_first_steps_are_used_where_they_are_known():
    found = make_forecast([ask(0.5)], KNOWN, 0.01, None)
    assert (found.when, found.share) == ("in the first steps", 0.01)
    assert "shift" in {seen.predictor for seen in found.evidence}
    before = make_forecast([ask(0.5)], KNOWN, None, None)
    assert "shift" not in {seen.predictor for seen in before.evidence}


def test_a_gate_fails_what_is_expected_above_its_rate_and_counts_its_errors_on_the_unseen():
    found = make_forecast([ask(1.0)], KNOWN, None, 0.2)
    assert found.gate is not None
    assert found.gate.fails
    assert found.gate.harmless + found.gate.dangerous == 120
    passed = make_forecast([ask(0.0)], KNOWN, None, 0.2)
    assert passed.gate is not None
    assert not passed.gate.fails
    rates, unseen = np.array([0.1, 0.3, 0.2, 0.9]), np.array([0.25, 0.1, 0.2, 0.8])
    gate = try_gate(0.2, found.forecast, unseen, rates)
    assert (gate.false_alarms, gate.harmless, gate.misses, gate.dangerous) == (1, 2, 1, 2)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"base_fingerprint": "other"}, "none of 120 finetunes with known outcomes started from"),
        ({"contrasts": "other"}, "and was read with these contrasts"),
    ],
)
def test_a_base_that_nothing_known_started_from_is_uncalibrated(changes, told):
    fault = find_fault(replace(ask(0.5), **changes), KNOWN)
    assert fault is not None
    assert fault.startswith("uncalibrated: ")
    assert told in fault
    assert find_fault(ask(0.5), KNOWN) is None


def test_too_few_studies_are_uncalibrated_too():
    few = [one for one in KNOWN if one.study in ("0-0.0", "0-1.0", "0-0.5", "0-0.25")]
    assert "4 studies with known outcomes" in str(find_fault(ask(0.5), few))


def test_evidence_that_nothing_calibrating_is_like_is_marked():
    far = replace(FINETUNE, before=tuple(replace(r, value=9.0) for r in ask(0.5).before))
    outside = {one.predictor for one in list_evidence([far], KNOWN, None) if one.is_outside}
    assert outside == {"projection", "injection", "surprise", "pull", "in_context"}
    assert not [one for one in list_evidence([ask(0.5)], KNOWN, None) if one.is_outside]
    assert [one for one in list_evidence([ask(0.5)], [], None) if one.is_outside] == []
