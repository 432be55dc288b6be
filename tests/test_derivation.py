from dataclasses import replace
from pathlib import Path

from rankshift.derivation import find_source_id, list_kept_steps, read_updates, updates_path
from rankshift.grid import Derived
from rankshift.records import write_records
from rankshift.runs import ArmFiles, Fingerprints, identify_arms
from rankshift.weight_records import UpdateRecord
from tests.synthetic_run import QUESTIONS, make_study


def test_a_derived_arm_names_the_finetune_of_its_own_setting_seed_and_role_as_its_source():
    study = replace(make_study(), derived=Derived(truncations=(1,), norms=(3.0,)))
    prints = Fingerprints("b", "t", "w", {QUESTIONS: "q"})
    arms = identify_arms(study, prints)
    derived = {name: arm for name, arm in arms.items() if arm.is_derived}
    sources = {name: find_source_id(arm, study, prints) for name, arm in arms.items()}
    assert {name for name, source in sources.items() if source} == set(derived)
    for name, arm in derived.items():
        source = arms[sources[name] or ""]
        assert source.is_trained
        assert (source.rank, source.seed, source.role) == (arm.rank, arm.seed, arm.role)
        assert source.learning_rate == arm.learning_rate
    assert sorted({arm.rank or 0 for arm in derived.values() if arm.truncated_to}) == [0, 4]


def test_steps_are_kept_where_the_file_that_is_written_last_is_there(tmp_path: Path):
    files = ArmFiles(tmp_path)
    assert list_kept_steps(files) == ()
    for step, name in ((16, "config.json"), (2, "adapter_config.json"), (4, "x.safetensors")):
        files.checkpoint(step).mkdir(parents=True)
        (files.checkpoint(step) / name).touch()
    assert list_kept_steps(files) == (2, 16)


def test_an_arm_from_before_updates_were_measured_has_none(tmp_path: Path):
    files = ArmFiles(tmp_path)
    assert read_updates(files) == {}
    record = UpdateRecord(4, 1.0, 0.1, None, 1.0, 1.0, 0.0)
    write_records(updates_path(files), [record])
    assert read_updates(files) == {4: record}
