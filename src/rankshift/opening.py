"""A study's directory is opened: made on first use, and refused where it is another study's."""

from dataclasses import asdict
from pathlib import Path

from rankshift.atomic import explain_refusal, make_folder
from rankshift.errors import UserError
from rankshift.lock import LOCK_NAME, OWNER_NAME, hold_run
from rankshift.runs import Fingerprints, StudyRun
from rankshift.sealed import write_sealed
from rankshift.study import Study


def find_run(directory: Path) -> StudyRun:
    """Find the run in a directory that a user named.

    Raises:
        UserError: The directory is not a study's.
    """
    run = StudyRun(directory)
    if not run.study_path.exists():
        raise UserError(
            f"{directory} is not a study's directory: it has no study.json; "
            "give one that `rankshift run` made, e.g. runs/demo"
        )
    return run


def open_run(study: Study, fingerprints: Fingerprints, root: Path = Path("runs")) -> StudyRun:
    """Give a study its directory: made on first use, checked on every later one.

    The grid, `models`, `evaluation`, `compute` and `about` may change between uses: arms and
    evaluations are found by their own hashes. What every arm shares may not. It holds the run's
    lock only while it writes study.json; who goes on writing takes `hold_run` next.

    Raises:
        UserError: The directory is another study's or somebody else's; then nothing is written.
        WorkError: It cannot be made or written.
    """
    run = StudyRun(root / study.name)
    if _find_asked(run, study, fingerprints) == (study, fingerprints):
        return run
    with explain_refusal(run.directory):
        make_folder(run.directory)
    with hold_run(run.directory):
        _find_asked(run, study, fingerprints)  # another process may have come first
        write_sealed(run.study_path, study=study, fingerprints=fingerprints)
    return run


def refuse_other_study(study: Study, fingerprints: Fingerprints, root: Path) -> None:
    """See that a study's directory is free or its own; nothing is written.

    Raises:
        UserError: As for `open_run`.
    """
    _find_asked(StudyRun(root / study.name), study, fingerprints)


def _find_asked(
    run: StudyRun, study: Study, fingerprints: Fingerprints
) -> tuple[Study, Fingerprints] | None:
    """Read what was asked here before, None for nothing; refuse what is not this study's."""
    for folder in (run.directory.parent, run.directory):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file where a directory is needed; move it away")
    if not run.study_path.exists():
        _refuse_foreign(run.directory)
        return None
    before = run.read_study()
    now = _list_shared(study, fingerprints)
    for key, old in _list_shared(*before).items():
        if old != now[key]:
            raise UserError(
                f"{run.directory} was made by a different study: {key} was {old!r}, now "
                f"{now[key]!r}; give this study another name, or remove {run.directory}"
            )
    return before


def _refuse_foreign(directory: Path) -> None:
    names = sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
    for name in names:
        is_draft = name.startswith(".") and name.endswith(".tmp")
        if name not in (LOCK_NAME, OWNER_NAME) and not is_draft:
            raise UserError(
                f"{directory} holds {name} but no study.json, so whose it is cannot be told; "
                "give this study another name, or move those files away"
            )


def _list_shared(study: Study, fingerprints: Fingerprints) -> dict[str, object]:
    """List what all arms share, by key; two studies in one directory must agree on it."""
    tables = {name: asdict(getattr(study, name)) for name in ("base", "data", "training")}
    tables["fingerprints"] = _describe_prints(fingerprints)
    named = {f"{table}.{key}": tables[table][key] for table in tables for key in tables[table]}
    return {"name": study.name, **named}


def _describe_prints(fingerprints: Fingerprints) -> dict[str, object]:
    shared = asdict(fingerprints)
    for may_change in ("questions", "models", "imports", "defences"):
        del shared[may_change]
    return shared
