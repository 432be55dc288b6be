import re
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.export.folders import (
    MANIFEST,
    Content,
    Manifest,
    fingerprint_content,
    refuse_edited,
    refuse_foreign,
    remove_unfinished,
    write_folder,
)


def write(folder: Path, content: Content) -> str:
    """Write a folder of one arm."""
    refuse_edited(folder)
    return write_folder(folder, Manifest("s", "a1", 4, fingerprint_content(content)), content)


def read(folder: Path) -> dict[str, bytes]:
    """Read every file but the manifest."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}


def test_a_folder_is_written_once_and_replaced_only_by_other_content(tmp_path: Path):
    folder, source = tmp_path / "out" / "arm", tmp_path / "weights"
    source.write_bytes(b"weights")
    content = {"w": source, "README.md": b"card"}
    assert write(folder, content) == "written"
    before = (folder / "w").stat().st_mtime_ns
    assert write(folder, content) == "unchanged"
    assert (folder / "w").stat().st_mtime_ns == before
    assert write(folder, {"w": source, "LICENSE": b"new"}) == "replaced"
    assert read(folder) == {"w": b"weights", "LICENSE": b"new"}
    assert [path.name for path in folder.parent.iterdir()] == ["arm"]


def test_what_fails_half_way_leaves_the_old_folder_and_no_new_one(tmp_path: Path):
    folder = tmp_path / "arm"
    write(folder, {"w": b"old"})
    gone = tmp_path / "gone"
    gone.write_bytes(b"x")
    manifest = Manifest("s", "a1", 4, fingerprint_content({"a": b"new", "b": gone}))
    gone.unlink()
    for target in (folder, tmp_path / "other"):
        with pytest.raises(FileNotFoundError):
            write_folder(target, manifest, {"a": b"new", "b": gone})
    assert read(folder) == {"w": b"old"}
    assert not (tmp_path / "other").exists()
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["arm"]


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_an_export_that_was_changed_by_hand_is_never_replaced(tmp_path: Path, change: str):
    folder = tmp_path / "arm"
    write(folder, {"README.md": b"card"})
    name = {"edit": "README.md", "add": "LICENSE", "remove": "README.md"}[change]
    if change == "remove":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(b"by hand")
    with pytest.raises(UserError, match=re.escape(f"{folder / name}: was changed after")):
        refuse_edited(folder)


def test_a_folder_with_something_else_in_it_is_refused_by_name(tmp_path: Path):
    write(tmp_path / "arm", {"README.md": b"card"})
    refuse_foreign(tmp_path)
    refuse_foreign(tmp_path / "nothing")
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"holds thesis\.tex, which is not an export"):
        refuse_foreign(tmp_path)
    with pytest.raises(UserError, match="is a file where a folder is needed"):
        refuse_foreign(tmp_path / "thesis.tex")


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path):
    folder = tmp_path / "arm"
    write(folder, {"README.md": b"card"})
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"a1"', '"a2"'))
    with pytest.raises(UserError, match="was edited after it was written"):
        refuse_edited(folder)
