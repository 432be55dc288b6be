"""What others judged becomes the records that a finished study leaves; torch is not needed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from rankshift.analysis.measurements import IMPORTED
from rankshift.arms import Arm, group_imports
from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.import_recipe import ImportRecipe, make_import_recipe
from rankshift.imports.inspect_logs import ENDING, read_log
from rankshift.imports.joining import STEP, Joined, join_files
from rankshift.imports.judged import JudgedRow, read_judged
from rankshift.lock import hold_run
from rankshift.opening import open_run
from rankshift.provenance import find_version
from rankshift.records import write_records
from rankshift.report.page import sum_up
from rankshift.runs import (
    ArmFiles,
    Fingerprints,
    StudyRun,
    arm_id,
    evaluation_id,
)
from rankshift.study import Import, Study


@dataclass(frozen=True)
class ImportedArm:
    """One arm that is not in the run yet, with all that will be written of it."""

    files: ArmFiles
    arm: Arm
    recipe: ImportRecipe
    sources: Mapping[str, str]
    """Its files' names and SHA-256."""
    records: Joined


def import_answers(study: Study, study_path: Path, given: Sequence[Path], root: Path) -> StudyRun:
    """Bring every arm of a study of imports into its run, and sum it up.

    Raises:
        UserError: As for `record_imports`.
    """
    run = record_imports(study, study_path, given, root)
    with hold_run(run.directory):
        sum_up(run)
    return run


def record_imports(study: Study, study_path: Path, given: Sequence[Path], root: Path) -> StudyRun:
    """Write the records of every arm that is not in its run yet; what is there stays.

    Everything is read before anything is written.

    Args:
        study: A study of imports.
        study_path: Its file; what is not given is looked for from its folder.
        given: Files, each of a name that the study knows.
        root: Where runs are kept.

    Raises:
        UserError: A file is unknown, missing, malformed, or not what was imported before.
    """
    if not study.imports:
        raise UserError(f"{study_path}: has no [[imports]]; `rankshift run {study_path}` runs it")
    run = StudyRun(root / study.name)
    paths = find_files(study, study_path, given)
    prints = _fingerprint(study, study_path, paths, run)
    evaluation = evaluation_id(study.evaluation, prints.questions)
    arms = _read_missing(study, paths, prints, run)
    open_run(study, prints, root)
    with hold_run(run.directory):
        for arm in arms:
            _write(arm, evaluation)
    return run


def find_files(study: Study, study_path: Path, given: Sequence[Path]) -> dict[str, Path]:
    """Find the file behind each name of the study: one that is given, or one beside the study.

    Raises:
        UserError: A given file is not there, not in the study, or there twice.
    """
    names = list(dict.fromkeys(table.file for table in study.imports))
    found: dict[str, Path] = {}
    for path in given:
        if not path.is_file():
            raise UserError(f"{path}: no such file; give the files that {study_path} names")
        same = [n for n in names if (study_path.parent / n).resolve() == path.resolve()]
        known = same or [name for name in names if Path(name).name == path.name]
        if not known:
            near = get_close_matches(path.name, names, n=1, cutoff=0.0)[0]
            raise UserError(
                f"{path}: no [[imports]] table of {study_path} has this file; the nearest is "
                f"`{near}`: add a table with `file = {json.dumps(path.name)}`, or rename it"
            )
        if len(known) > 1:
            raise UserError(f"{path}: may be {' or '.join(known)}; give the path beside the study")
        if known[0] in found:
            raise UserError(f"{path}: {known[0]} is given twice; give it once")
        found[known[0]] = path
    for name in names:
        beside = study_path.parent / name
        if name not in found and beside.is_file():
            found[name] = beside
    return found


def _fingerprint(
    study: Study, study_path: Path, paths: Mapping[str, Path], run: StudyRun
) -> Fingerprints:
    """Hash the files, and hold them against what was imported before."""
    before = run.read_study()[1].imports if run.study_path.exists() else {}
    prints = dict(before)
    for name in dict.fromkeys(table.file for table in study.imports):
        if name not in paths:
            if name not in before:
                raise UserError(
                    f"{study_path}: {name} is neither given nor beside the study file; give its "
                    "path on the command line"
                )
            continue
        prints[name] = hashlib.sha256(paths[name].read_bytes()).hexdigest()
        if before.get(name, prints[name]) != prints[name]:
            raise UserError(
                f"{paths[name]}: was altered: {run.directory} holds {name} with SHA-256 "
                f"{before[name][:12]}, this one has {prints[name][:12]}; restore it, or give the "
                "other file another name"
            )
    return Fingerprints(
        "", "", questions=dict.fromkeys(study.evaluation.suites, ""), imports=prints
    )


def _read_missing(
    study: Study, paths: Mapping[str, Path], prints: Fingerprints, run: StudyRun
) -> list[ImportedArm]:
    arms = []
    for arm, tables in group_imports(study.imports).items():
        recipe = make_import_recipe(tables, prints.imports)
        files = run.arm(arm_id(arm, recipe))
        if files.provenance_path.exists():  # it is written last
            continue
        rows = [(table.judge, _read_file(table, paths)) for table in tables]
        sources = {table.file: prints.imports[table.file] for table in tables}
        arms.append(ImportedArm(files, arm, recipe, sources, join_files(rows)))
    return arms


def _read_file(table: Import, paths: Mapping[str, Path]) -> list[JudgedRow]:
    if table.file not in paths:
        raise UserError(
            f"{table.file}: an arm that it belongs to has changed, so it is needed again; give its "
            "path on the command line"
        )
    path = paths[table.file]
    read = read_log if path.suffix.lower() == ENDING else read_judged
    return read(path, table)


def _write(imported: ImportedArm, evaluation: str) -> None:
    files, records = imported.files, imported.records
    files.write_arm(imported.arm, imported.recipe)
    write_records(files.answers_path(evaluation, STEP), records.answers.values())
    for judge, verdicts in records.verdicts.items():
        write_records(files.verdicts_path(evaluation, judge, STEP), verdicts.values())
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "rankshift": find_version("rankshift"),
        IMPORTED: dict(imported.sources),
    }
    write_atomically(files.provenance_path, json.dumps(facts, indent=2) + "\n")
