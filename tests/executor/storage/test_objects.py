"""Object storage through fsspec: its memory here, a real S3 server in `test_cluster.py`."""

import secrets
from pathlib import Path

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor.storage.objects import Storage


@pytest.fixture
def storage() -> Storage:
    return Storage(f"memory://{secrets.token_hex(8)}/runs")


def test_what_is_put_is_listed_by_its_name_below_the_url_and_fetched_as_it_was(
    storage: Storage, tmp_path: Path
):
    (tmp_path / "one").write_bytes(b"12345")
    assert storage.list_sizes() == {}
    storage.put(tmp_path / "one", "arms/a/steps.jsonl")
    storage.put(tmp_path / "one", "plan.json")
    assert storage.list_sizes() == {"arms/a/steps.jsonl": 5, "plan.json": 5}
    assert storage.list_sizes("arms/a") == {"arms/a/steps.jsonl": 5}
    assert storage.list_sizes("arms/b") == {}
    storage.fetch(["arms/a/steps.jsonl"], tmp_path / "there")
    assert (tmp_path / "there" / "arms" / "a" / "steps.jsonl").read_bytes() == b"12345"
    storage.remove(["arms/a/steps.jsonl"])
    assert storage.list_sizes() == {"plan.json": 5}


def test_two_runs_below_one_url_do_not_see_each_other(storage: Storage, tmp_path: Path):
    (tmp_path / "one").write_bytes(b"1")
    storage.put(tmp_path / "one", "plan.json")
    assert Storage(storage.url + "-2").list_sizes() == {}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/mnt/shared", "expected a URL such as s3://bucket/folder, with no key in it"),
        ("s3://key:secret@bucket/folder", "expected a URL such as s3://bucket/folder, with no key"),
        (
            "file:///mnt/shared",
            "is a folder, and takes files piece by piece; if every node sees it",
        ),
        ("tape://robot/4", "Protocol not known: tape; give a URL such as s3://bucket/folder"),
        ("gs://bucket/folder", "nstall gcsfs.* give a URL such as s3://bucket/folder, and install"),
    ],
)
def test_what_is_no_object_storage_is_refused_in_a_line(url: str, said: str):
    with pytest.raises(UserError, match=said) as caught:
        Storage(url)
    assert str(caught.value).startswith(f"compute.storage = {url}: ")
    assert "\n" not in str(caught.value)


def test_what_the_storage_refuses_is_told_in_a_line_with_its_url(storage: Storage, tmp_path: Path):
    with pytest.raises(WorkError, match=r"/runs: cannot be read or written \(.*\); all that was"):
        storage.fetch(["not-there"], tmp_path)
    assert list(tmp_path.iterdir()) == []
