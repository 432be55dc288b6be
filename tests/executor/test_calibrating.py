from dataclasses import replace

import numpy as np

from rankshift.executor.calibrating import foretell, read_calibration, read_finetunes
from rankshift.forecast_records import FILE, write_evidence
from tests.analysis.test_leaderboard import draw

KNOWN = draw(np.random.default_rng(10))
OWN = [one for one in KNOWN if one.study == "1-0.5"]


def test_each_arm_is_foretold_before_training_and_after_each_share_of_its_steps():
    found = list(foretell(OWN, KNOWN))
    assert [one.share for one in found] == [None] * 8 + [0.01] * 8
    assert [one.arm for one in found[:8]] == [one.arm for one in OWN]
    for one in found:
        assert one.low < one.rate < one.high


def test_a_studys_own_outcomes_are_not_used():
    turned = [replace(one, rate=1 - one.rate) if one in OWN else one for one in KNOWN]
    assert list(foretell(OWN, turned)) == list(foretell(OWN, KNOWN))


def test_of_a_base_that_nothing_is_known_of_nothing_is_foretold():
    strange = [replace(one, base_fingerprint="strange") for one in OWN]
    assert list(foretell(strange, KNOWN)) == []


def test_a_run_and_a_file_are_read_alike_and_an_arm_that_is_there_twice_counts_once(tmp_path):
    write_evidence(tmp_path / FILE, OWN)
    write_evidence(tmp_path / "all.json", KNOWN)
    assert read_finetunes([tmp_path]) == OWN
    assert len(read_finetunes([tmp_path, tmp_path / "all.json"])) == len(KNOWN)
    shipped = read_calibration(())
    assert len(read_calibration([tmp_path])) == len(shipped) + len(OWN)
