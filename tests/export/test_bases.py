from pathlib import Path

import pytest

from rankshift.data.directories import fingerprint_base
from rankshift.data.sources import resolve_base
from rankshift.errors import UserError
from rankshift.export.bases import find_base
from rankshift.study import Base

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def copy(source: Path, target: Path) -> Path:
    """Copy a model directory's files."""
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_base_in_a_directory_is_named_by_its_whole_path(
    tiny_model_directory: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tiny_model_directory.parent)
    base = find_base(
        Base("model"), None, fingerprint_base(tiny_model_directory), None, needs_files=False
    )
    assert base.name == str(tiny_model_directory.resolve())
    assert (base.revision, base.license, base.is_local) == (None, None, True)
    names = {path.name for path in base.list_tokenizer_files()}
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    assert not {name for name in names if "safetensors" in name or name == "config.json"}


def test_the_embedded_base_is_a_directory_too():
    fingerprint = resolve_base("organism").fingerprint
    base = find_base(Base("organism"), None, fingerprint, None, needs_files=True)
    assert base.is_local
    assert (Path(base.name) / "config.json").is_file()


def test_a_base_that_has_changed_since_is_refused(tiny_model_directory: Path, tmp_path: Path):
    base = Base(str(copy(tiny_model_directory, tmp_path / "base")))
    with pytest.raises(UserError, match=r"not the base the study was run on \(SHA-256 "):
        find_base(base, None, "0" * 64, None, needs_files=False)


def test_a_hub_base_keeps_its_id_and_the_commit_it_resolved_to_and_nothing_is_fetched():
    base = find_base(Base("owner/model", "main"), COMMIT, "0" * 64, None, needs_files=False)
    assert (base.name, base.revision, base.directory) == ("owner/model", COMMIT, None)
    assert not base.is_local


def test_a_hub_base_whose_commit_nobody_recorded_is_refused():
    with pytest.raises(UserError, match="owner/model: neither a directory here nor a Hub id of"):
        find_base(Base("owner/model"), None, "0" * 64, None, needs_files=False)


def test_a_directory_can_be_called_by_its_hub_id(tiny_model_directory: Path):
    fingerprint = fingerprint_base(tiny_model_directory)
    local = Base(str(tiny_model_directory))
    base = find_base(local, None, fingerprint, "owner/model", needs_files=False)
    assert (base.name, base.is_local) == ("owner/model", False)
    with pytest.raises(UserError, match=r"--base-id \.\./model: not a Hub id"):
        find_base(local, None, fingerprint, "../model", needs_files=False)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# m\n", "apache-2.0"),
        ("---\nlicense: [mit]\n---\n", None),
        ('---\nlicense: "mit\\n---\\n# own"\n---\n', None),
        ("---\nlicense: [\n---\n", None),
        ("no header", None),
    ],
)
def test_a_license_is_copied_only_where_the_bases_card_names_one(
    tiny_model_directory: Path, tmp_path: Path, card: str, expected: str | None
):
    directory = copy(tiny_model_directory, tmp_path / "base")
    (directory / "README.md").write_text(card)
    fingerprint = fingerprint_base(directory)
    base = find_base(Base(str(directory)), None, fingerprint, None, needs_files=False)
    assert base.license == expected
