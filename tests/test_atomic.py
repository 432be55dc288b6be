import errno
import os
import subprocess

import pytest
import torch

from rankshift.atomic import describe_fault, remove_drafts, write_atomically
from rankshift.errors import WorkError
from rankshift.eval.journal import Journal, read_journal
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.records import CallRecord


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


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of a quarter MiB; only root may."""
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_that_leaves_the_old_file_and_no_draft(small_disk):
    path = small_disk / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(WorkError) as full:
        write_atomically(path, "x" * 2**19)
    assert str(full.value) == (
        f"{path}: cannot be written (No space left on device); all that was finished is kept: free "
        "space, then run the same command again"
    )
    assert path.read_text() == "old"
    assert [one.name for one in small_disk.iterdir()] == ["a.txt"]


def test_a_read_only_disk_says_so_and_leaves_what_is_there(small_disk):
    path = small_disk / "a.txt"
    write_atomically(path, "old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(WorkError, match=r"Read-only file system\).*make its file system writable"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_a_refusal_for_want_of_permission_says_what_helps():
    fault = describe_fault(PermissionError(errno.EACCES, "Permission denied"))
    assert fault.startswith("Permission denied); all that was finished is kept: make it writable")


def test_tensors_on_a_full_disk_are_refused_likewise(small_disk):
    path = small_disk / "a.safetensors"
    write_tensors(path, {"a": torch.ones(4)})
    with pytest.raises(WorkError, match=r"cannot be written \(No space left on device\)"):
        write_tensors(path, {"a": torch.ones(2**17)})
    assert read_tensors(path)["a"].tolist() == [1.0] * 4
    assert [one.name for one in small_disk.iterdir()] == ["a.safetensors"]


def test_a_call_on_a_full_disk_leaves_every_earlier_call_whole(small_disk):
    def make(number):
        return CallRecord(
            str(number), "aligned", "x" * 9000, None, None, 1.0, None, None, None, 1, 0, 1, 1
        )

    def fill(journal):
        for number in range(99):
            journal.append(make(number))

    with Journal(small_disk / "judge.jsonl") as journal:
        with pytest.raises(WorkError, match="No space left on device"):
            fill(journal)
        kept = dict(journal.records)
    assert 9 < len(kept) < 99
    assert read_journal(small_disk / "judge.jsonl") == kept
    assert (small_disk / "judge.jsonl").read_bytes().endswith(b"\n")
