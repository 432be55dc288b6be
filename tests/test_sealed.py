"""The same content has one hash, and a file that was edited is refused."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.grid import Grid
from rankshift.sealed import hash_of, read_sealed, write_sealed
from rankshift.study import Base, Data, Evaluation, GivenModel, Import, Study, Training

ARM = Arm("lora", "task", "insecure", 8, 16.0, "alpha/rank", 1e-3, 1, ("q_proj",))


def test_a_hash_does_not_depend_on_order_spelling_or_container():
    assert hash_of({"a": 64, "b": [1.5]}) == hash_of({"b": (1.5,), "a": 64.0})
    assert hash_of(-0.0) == hash_of(0)
    assert hash_of(ARM) == hash_of(replace(ARM, alpha=16))


def test_a_hash_depends_on_value_kind_and_nesting():
    contents = [1, "1", 1.5, True, None, [1], [[1]], {"a": 1}, {"a": "1"}, {"b": 1}, [], {}]
    assert len({hash_of(content) for content in contents}) == len(contents)
    assert len(hash_of(1)) == 12
    assert hash_of(1, length=64).startswith(hash_of(1))


def test_a_hash_is_the_same_in_another_process():
    code = "from rankshift.sealed import hash_of; print(hash_of({'a': {'z': 0.1, 'b': 3.0}}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == hashlib.sha256(b'{"a":{"b":3,"z":0.1}}').hexdigest()[:12]


def test_a_number_that_is_not_finite_has_no_hash():
    with pytest.raises(ValueError, match="not JSON compliant"):
        hash_of({"a": float("nan")})


def test_sets_in_a_list_come_back_as_they_were(tmp_path):
    sets = {"target_modules": (("q_proj",), ("v_proj", "o_proj")), "layers": ((0, 1), (2,))}
    grid = Grid((2,), (1,), ("alpha/rank",), ("2r",), (1e-3,), **sets)
    write_sealed(tmp_path / "x.json", grid=grid, arm=ARM)
    assert read_sealed(tmp_path / "x.json", "remove it", grid=Grid, arm=Arm) == (grid, ARM)


def test_given_models_come_back_as_they_were(tmp_path):
    models = (GivenModel("a", "b"), GivenModel("c", "d", role="twin", seed=1))
    study = Study(name="x", base=Base("y"), models=models, evaluation=Evaluation(("z",)))
    write_sealed(tmp_path / "x.json", study=study)
    assert read_sealed(tmp_path / "x.json", "remove it", study=Study) == (study,)


def test_dataclasses_in_a_list_come_back_as_they_were(tmp_path):
    study = Study(
        name="them",
        base=Base(""),
        data=Data("insecure"),
        grid=Grid((2,), (1,), ("alpha/rank",), (16.0,), (1e-3,)),
        training=Training(0, ()),
        evaluation=Evaluation(("main",)),
        imports=(
            Import("a.csv", "gpt-4o", rank=2, target_modules=("q_proj",)),
            Import("b.csv", "gpt-4o", method="full"),
        ),
    )
    write_sealed(tmp_path / "x.json", study=study)
    assert read_sealed(tmp_path / "x.json", "remove it", study=Study) == (study,)


def test_a_file_that_was_edited_is_refused_with_the_fix(tmp_path):
    path = tmp_path / "x.json"
    write_sealed(path, arm=ARM)
    content = json.loads(path.read_text())
    content["arm"]["rank"] = 9
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as refused:
        read_sealed(path, "remove it", arm=Arm)
    assert str(refused.value) == f"{path}: was edited after it was written; remove it"
