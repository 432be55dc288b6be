import pytest

from rankshift.atomic import remove_drafts, write_atomically


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_drafts_of_a_process_that_was_killed_are_removed_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "arms" / "a.txt", "kept")
    draft = tmp_path / "arms" / ".a.txt.123.tmp"
    draft.write_text("ha")
    remove_drafts(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["a.txt"]
