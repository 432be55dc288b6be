from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankshift.defence import Defences
from rankshift.errors import UserError
from rankshift.executor.forecast import (
    Asked,
    ask_of,
    find_share,
    forecast_finetunes,
    list_wanted,
)
from rankshift.forecast_records import EarlyReadings
from rankshift.runs import StudyRun, identify_arms
from tests.analysis.test_leaderboard import draw
from tests.test_forecast_records import FINETUNE

KNOWN = draw(np.random.default_rng(11))


def test_without_a_recipe_the_ranks_and_step_sizes_that_are_known_are_asked_about():
    asked = Asked(ask_of("organism", "organism:insecure"))
    assert asked.study.data.task == "organism:insecure"
    wanted = list_wanted(asked, FINETUNE, {}, KNOWN)
    assert [(one.rank, one.u) for one in wanted] == [(2, 0.01), (4, 0.01), (8, 0.01), (16, 0.01)]


def test_of_a_study_its_adapters_of_the_task_are_asked_about(foretold: Path):
    study, _ = StudyRun(foretold).read_study()
    wanted = list_wanted(Asked(study), FINETUNE, {}, KNOWN)
    assert [(one.rank, one.u) for one in wanted] == [(1, 0.064), (16, 0.064)]
    defended = replace(study.grid, defences=(Defences("spectral", (0.1,)),))
    assert list_wanted(Asked(replace(study, grid=defended)), FINETUNE, {}, KNOWN) == wanted
    full = replace(study, grid=replace(study.grid, ranks=()))
    with pytest.raises(UserError, match="trains no adapter on the task, and full finetuning is"):
        list_wanted(Asked(full), FINETUNE, {}, KNOWN)


def test_of_a_run_each_adapter_has_its_own_first_steps(foretold: Path):
    run = StudyRun(foretold)
    study, fingerprints = run.read_study()
    arms = identify_arms(study, fingerprints)
    early = {name: (EarlyReadings(at, 0.05, ()),) for at, name in enumerate(arms)}
    for one in list_wanted(Asked(study, foretold), FINETUNE, early, KNOWN):
        assert one.early == early[one.arm]
        assert one.rank == arms[one.arm].rank


def test_the_latest_share_that_all_have_come_to_and_others_were_read_at_is_used():
    seen = {share: EarlyReadings(1, share, ()) for share in (0.01, 0.05, 0.1)}
    known = [replace(FINETUNE, early=tuple(seen.values()))]
    ahead, behind = tuple(seen.values()), (seen[0.01], seen[0.05])
    assert find_share({"a": ahead, "b": behind}, known) == 0.05
    assert find_share({"a": ahead, "b": ahead}, [replace(FINETUNE, early=behind)]) == 0.05
    assert find_share({"a": ahead, "b": ()}, known) is None
    assert find_share({}, known) is None


def test_a_begun_run_is_foretold_with_its_first_steps(foretold: Path):
    study, _ = StudyRun(foretold).read_study()
    found = forecast_finetunes(Asked(study, foretold, fail_above=0.0), lambda _: None)
    assert (found.when, found.share) == ("in the first steps", 0.1)
    assert [one.rank for one in found.forecast] == [1, 16]
    assert {"shift", "log_odds", "drop"} <= {seen.predictor for seen in found.evidence}
    assert found.gate is not None
    assert found.gate.fails
