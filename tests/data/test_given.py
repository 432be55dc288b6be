import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from rankshift.data.given import resolve_given
from rankshift.errors import UserError
from rankshift.study import GivenModel


def make_adapter(folder: Path) -> Path:
    """Write files with the names of an adapter's; what they hold does not matter here."""
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text(name)
    return folder


def make_model(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text(name)
    return folder


def find(path: Path | str, revision: str | None = None):
    return resolve_given(GivenModel("theirs", str(path), revision))


def test_a_directory_is_an_adapter_by_its_config_and_else_a_whole_model(tmp_path: Path):
    adapter, model = make_adapter(tmp_path / "adapter"), make_model(tmp_path / "model")
    assert [find(path).method for path in (adapter, model)] == ["adapter", "model"]
    assert [find(path).has_tokenizer for path in (adapter, model)] == [False, True]
    (adapter / "config.json").write_text("{}")  # trainers save the base's beside it
    assert find(adapter).method == "adapter"


def test_an_adapter_is_known_by_its_config_and_tensors_alone(tmp_path: Path):
    adapter = make_adapter(tmp_path / "adapter")
    before = find(adapter).sha256
    (adapter / "README.md").write_text("changed")
    (adapter / "tokenizer.json").write_text("changed")
    moved = shutil.copytree(adapter, tmp_path / "moved")
    assert find(moved).sha256 == before
    seen = {before}
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text("changed")
        seen.add(find(adapter).sha256)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ((), "holds neither adapter_config.json nor config.json; give the directory of a PEFT"),
        (("adapter_config.json",), "no weights; an adapter is read from adapter_model.safetensors"),
        (
            ("adapter_config.json", "adapter_model.bin"),
            "only adapter_model.bin, a pickle; an adapter is read from adapter_model.safetensors",
        ),
        (("config.json", "pytorch_model.bin"), "only pytorch_model.bin, a pickle; give a dir"),
        (("config.json",), "no weights; give a directory with safetensors"),
    ],
)
def test_a_directory_without_a_model_in_safetensors_is_refused(
    tmp_path: Path, held: tuple[str, ...], message: str
):
    for name in held:
        (tmp_path / name).write_text("never opened")
    with pytest.raises(UserError) as refused:
        find(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}: {message}")


def test_what_is_neither_here_nor_a_hub_id_is_refused_with_the_models_name(tmp_path: Path):
    with pytest.raises(UserError) as refused:
        find(tmp_path / "nowhere")
    assert str(refused.value) == (
        f"models: theirs: path = {tmp_path / 'nowhere'}: no such directory; give a directory or a "
        "Hub id"
    )


def test_a_hub_id_is_found_in_the_hubs_cache_with_its_commit_and_else_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    stored = tmp_path / "hub" / "models--someone--adapter"
    (stored / "snapshots").mkdir(parents=True)
    make_adapter(stored / "snapshots" / commit)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(commit)
    found = find("someone/adapter")
    assert (found.method, found.revision) == ("adapter", commit)
    with pytest.raises(UserError, match=r"^models: theirs: path = someone/other, revision default"):
        find("someone/other")
    with pytest.raises(UserError, match=r"^models: theirs: path = someone/adapter, revision v2: n"):
        find("someone/adapter", "v2")
