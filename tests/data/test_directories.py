"""What else these do is in test_sources and test_given, through the names a study uses."""

from pathlib import Path

import pytest

from rankshift.data.directories import find_directory, fingerprint_files, name_pickle
from rankshift.errors import UserError


def test_a_fingerprint_follows_the_names_and_bytes_of_the_files_that_are_asked_for(tmp_path: Path):
    (tmp_path / "a.json").write_text("{}")
    before = fingerprint_files(tmp_path, ("a.json", "*.safetensors"))
    (tmp_path / "README.md").write_text("changed")
    (tmp_path / "below").mkdir()
    assert fingerprint_files(tmp_path, ("*.safetensors", "a.json")) == before
    (tmp_path / "x.safetensors").write_bytes(b"")
    with_weights = fingerprint_files(tmp_path, ("a.json", "*.safetensors"))
    (tmp_path / "x.safetensors").rename(tmp_path / "y.safetensors")
    assert (
        len({before, with_weights, fingerprint_files(tmp_path, ("a.json", "*.safetensors"))}) == 3
    )


def test_a_pickle_is_named_and_not_opened(tmp_path: Path):
    assert name_pickle(tmp_path) == "no weights"
    (tmp_path / "weights.pth").write_text("not even a pickle")
    assert name_pickle(tmp_path) == "only weights.pth, a pickle"


@pytest.mark.parametrize("key", ["base.model", "models: theirs: path"])
def test_a_directory_has_no_revision_and_the_key_beside_it_is_named(tmp_path: Path, key: str):
    assert find_directory(key, str(tmp_path), None, ()) == (tmp_path, None)
    with pytest.raises(UserError) as refused:
        find_directory(key, str(tmp_path), "v2", ())
    beside = {"base.model": "base.revision"}.get(key, "models: theirs: revision")
    assert str(refused.value).startswith(f"{beside} = v2: {tmp_path} is a directory and has no")
