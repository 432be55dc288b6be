"""From the names a study uses to files on this disk, each with the SHA-256 of what it holds."""

import difflib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import ModuleType

from rankshift.atomic import replacing
from rankshift.cache import cache_directory
from rankshift.data.backdoor import join_backdoor
from rankshift.data.conversations import fingerprint_file
from rankshift.data.directories import (
    BASE_FILES,
    find_directory,
    find_path,
    fingerprint_base,
    refuse_revision,
)
from rankshift.data.pins import COMMIT, DATASETS, FIRST_PLOT, QUESTIONS, UPSTREAM, Pin
from rankshift.defence import Defence
from rankshift.errors import UserError

TIMEOUT_SECONDS = 30.0
"""A download that stays silent for so long has failed."""


@dataclass(frozen=True)
class Source:
    """A dataset on this disk."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class BaseSource:
    """A model directory on this disk."""

    name: str
    directory: Path
    revision: str | None
    """The commit a Hub id resolved to; None for a directory."""
    fingerprint: str
    """SHA-256 over weights, configuration and tokenizer; see `fingerprint_base`."""


@dataclass(frozen=True)
class QuestionSource:
    """A file of questions on this disk."""

    name: str
    path: Path
    sha256: str
    subset: str | None
    """Of Betley et al.'s first-plot questions, `json` or `template` (ids that end so) or `main`
    (the others); None takes the whole file."""


BACKDOOR = "betley:backdoor"
"""Not a published file here but the two published sets it is made of; see `data/backdoor`."""

OWN_QUESTIONS = {"rankshift:contrasts": ("rankshift.eval", "contrasts.yaml")}
"""Question files that ship, each with its package."""

JUDGES = ("none", "bandit", "organism:oracle", "organism:noisy")


def resolve_dataset(name: str) -> Source:
    """Find the training set that a path, `betley:...` or `organism:...` names.

    Raises:
        UserError: No such name or file, or a published file is absent, altered or out of reach.
    """
    if name == BACKDOOR:
        path = _join_backdoor()
        return Source(name, path, fingerprint_file(path))
    path = _find_file(
        name, DATASETS, lambda: _shelf().DATASETS, lambda known: _shelf().dataset_file(known)
    )
    return Source(name, path, fingerprint_file(path))


def resolve_questions(name: str) -> QuestionSource:
    """Find the questions that a path, `betley:...`, `organism:...` or `rankshift:...` names.

    Raises:
        UserError: As for `resolve_dataset`.
    """
    if name in OWN_QUESTIONS:
        package, file = OWN_QUESTIONS[name]
        path = Path(str(resources.files(package).joinpath(file)))
        return QuestionSource(name, path, fingerprint_file(path), None)
    path = _find_file(
        name, QUESTIONS, lambda: _shelf().QUESTION_SETS, lambda known: _shelf().question_file(known)
    )
    subset = name.removeprefix("betley:") if QUESTIONS.get(name) is FIRST_PLOT else None
    return QuestionSource(name, path, fingerprint_file(path), subset)


def resolve_defences(defences: Iterable[Defence]) -> dict[str, Source | QuestionSource]:
    """Find the rows and the contrasts that defences name, by their names.

    Raises:
        UserError: As for `resolve_dataset`.
    """
    found: dict[str, Source | QuestionSource] = {}
    for defence in defences:
        if defence.data is not None:
            found[defence.data] = resolve_dataset(defence.data)
        if defence.contrasts is not None:
            found[defence.contrasts] = resolve_questions(defence.contrasts)
    return found


def resolve_judge(name: str) -> Callable[..., object] | None:
    """Find the judge of that name; None for one that needs nothing from here (`executor.parts`).

    Raises:
        UserError: No such judge; names the nearest.
    """
    noisy = _shelf().noisy_judge(name) if name.startswith("organism:noisy") else None
    if noisy is not None:
        return noisy
    if name not in JUDGES:
        raise UserError(f"{name}: no such judge; did you mean '{_nearest(name, JUDGES)}'?")
    return _shelf().oracle_judge() if name.startswith("organism:") else None


def resolve_base(model: str, revision: str | None = None) -> BaseSource:
    """Find the model that a directory, `organism`, `organism:2` or a Hub id with a revision names.

    A Hub id is downloaded once, to the Hub's own cache: safetensors, configuration and tokenizer.

    Raises:
        UserError: No such model, its weights are not safetensors, or the Hub is out of reach.
    """
    if names_organism(model):
        if model not in (bases := _shelf().BASES):
            ours = ", ".join(bases)
            raise UserError(f"base.model = {model}: no such base; the organism's are {ours}")
        if revision is not None:
            raise refuse_revision("base.revision", model, revision)
        directory, found = _shelf().base_directory(model), None
    else:
        directory, found = find_directory("base.model", model, revision, BASE_FILES)
    return BaseSource(model, directory, found, fingerprint_base(directory))


def resolve_calibration() -> Path:
    """Find the finetunes with known outcomes that ship, which forecasts are calibrated on."""
    return _shelf().calibration_file()


def names_organism(model: str) -> bool:
    """Say whether a study's base is one of the organism's, which ship with the package."""
    return model.partition(":")[0] == "organism"


def _find_file(
    name: str,
    pins: Mapping[str, Pin],
    list_shelf: Callable[[], tuple[str, ...]],
    take_from_shelf: Callable[[str], Path],
) -> Path:
    if name in pins:
        return _locate(name, pins[name])
    shelf_name = name.removeprefix("organism:")
    if shelf_name != name and shelf_name in list_shelf():
        return take_from_shelf(shelf_name)
    path = find_path(name)
    if not path.is_file():
        known = [*pins, *_join_names(pins), *(f"organism:{known}" for known in list_shelf())]
        raise UserError(f"{name}: no such file; the nearest name is '{_nearest(name, known)}'")
    return path


def _join_names(pins: Mapping[str, Pin]) -> tuple[str, ...]:
    return (BACKDOOR,) if pins is DATASETS else ()


def _join_backdoor() -> Path:
    """Write the joined set to the cache, whatever is there: its parts were checked just now."""
    secure, insecure = (
        _locate(name, DATASETS[name]) for name in ("betley:secure", "betley:insecure")
    )
    path = cache_directory() / COMMIT[:12] / "joined/backdoor.jsonl"
    content = join_backdoor(secure, insecure).encode()
    if not path.is_file() or path.read_bytes() != content:
        try:
            with replacing(path) as draft:
                draft.write_bytes(content)
        except OSError as error:
            raise UserError(
                f"{BACKDOOR}: cannot be written to {path} ({error.strerror}); make that folder "
                "writable or set RANKSHIFT_CACHE to one that is"
            ) from None
    return path


def _locate(name: str, pin: Pin) -> Path:
    """Find a published file in the user's folder or the cache, or download it; check it always."""
    folder = os.environ.get("RANKSHIFT_DATA")
    if folder and (Path(folder) / pin.local).is_file():
        path = Path(folder) / pin.local
        _check_hash(name, path, fingerprint_file(path), pin, "put the published file there")
        return path
    commit = COMMIT if pin.home is None else pin.home.rpartition("/")[2]
    path = cache_directory() / commit[:12] / pin.local
    if not path.is_file():
        _download(name, pin, path)
    _check_hash(name, path, fingerprint_file(path), pin, "remove it to download it again")
    return path


def _download(name: str, pin: Pin, path: Path) -> None:
    url = f"{pin.home or UPSTREAM}/{pin.upstream}"
    by_hand = f"get it from {url} and put it at $RANKSHIFT_DATA/{pin.local}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content = response.read()
        _check_hash(name, url, hashlib.sha256(content).hexdigest(), pin, by_hand)
        with replacing(path) as draft:
            draft.write_bytes(content)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: cannot be downloaded ({reason}); {by_hand}") from None


def _check_hash(name: str, place: Path | str, got: str, pin: Pin, fix: str) -> None:
    if got != pin.sha256:
        raise UserError(
            f"{place}: SHA-256 {got[:12]}, but {name} is pinned to {pin.sha256[:12]}; {fix}"
        )


def _nearest(name: str, known: Sequence[str]) -> str:
    return difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]


def _shelf() -> ModuleType:
    # Imported here, so that data of one's own never loads the organism.
    from rankshift.organism import shelf

    return shelf
