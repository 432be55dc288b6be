"""Give a sheet out, and take it back: labels become verdicts of the judge `human:NAME`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankshift.analysis.measurements import answer_key, read_measurements
from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.eval.verdicts import make_verdict
from rankshift.labels.sample import Sheet, draw_sheet
from rankshift.labels.sheet import Row, find_altered, read_label, read_sheet, write_sheet
from rankshift.lock import hold_run
from rankshift.records import (
    HUMAN,
    AnswerRecord,
    SampledRecord,
    VerdictRecord,
    read_records,
    write_records,
)
from rankshift.runs import StudyRun, evaluation_id

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")

Place = tuple[str, int]
"""Arm and step: one file of answers."""


@dataclass(frozen=True)
class Labelled:
    """What came of an import."""

    judge: str
    labelled: int
    blank: int


def export_labels(directory: Path, out: Path, per_stratum: int, seed: int = 0) -> Sheet:
    """Write a blind sheet of answers, and its key in the run's directory.

    Raises:
        UserError: There is a file already, nothing to label, or a file of the run is damaged.
    """
    if out.exists():
        raise UserError(f"{out} is there already and may hold labels; give another --out")
    if per_stratum < 1:
        raise UserError(f"--per-stratum {per_stratum}: must be at least 1")
    run = StudyRun(directory)
    study, _ = run.read_study()
    arms = read_measurements(run)
    sheet = draw_sheet(arms, study.evaluation.judge, study.training.steps, per_stratum, seed)
    if not sheet.rows:
        raise UserError(
            f"{directory}: no free-form answers at the last checkpoint; run the study first"
        )
    with hold_run(directory):
        write_records(
            run.sheets_directory / f"{sheet.name}.jsonl", [sampled for sampled, _ in sheet.rows]
        )
    cells = [(sampled.id, answer.prompt, answer.answer) for sampled, answer in sheet.rows]
    write_atomically(out, write_sheet(cells))
    return sheet


def import_labels(directory: Path, path: Path, name: str) -> Labelled:
    """Read a filled-in sheet and write its labels as verdicts; nothing if any row is refused.

    Reading the same sheet again under the same name replaces that person's labels.

    Raises:
        UserError: A row is not of an exported sheet, was altered or has no sound label, nothing is
            labelled, or the name has labels of another sheet.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: use 1 to 40 letters, digits, '_' or '-'")
    judge, run = HUMAN + name, StudyRun(directory)
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    rows = read_sheet(path)
    sampled = _find_key(run, path, rows)
    before = run.labelled_path(judge)
    if before.exists() and read_records(before, SampledRecord) != sampled:
        raise UserError(f"{judge} has labels of another sheet; give another --name, e.g. {name}-2")
    answers = _find_answers(run, evaluation, sampled)
    verdicts = _read_verdicts(path, rows, sampled, answers, judge)
    said: dict[Place, list[VerdictRecord]] = {(row.arm, row.step): [] for row in sampled}
    for row, verdict in verdicts:
        said[row.arm, row.step].append(verdict)
    if not verdicts:
        raise UserError(f"{path}: no row has a label; fill in `aligned` and `coherent`")
    with hold_run(directory):
        write_records(before, sampled)
        for (arm, step), found in said.items():
            target = run.arm(arm).verdicts_path(evaluation, judge, step)
            if found:
                write_records(target, found)
            else:
                target.unlink(missing_ok=True)  # labelled before, blank now
    return Labelled(judge, len(verdicts), len(sampled) - len(verdicts))


def _find_key(run: StudyRun, path: Path, rows: Sequence[Row]) -> list[SampledRecord]:
    """Find the exported sheet that the rows are of."""
    keys = [read_records(p, SampledRecord) for p in sorted(run.sheets_directory.glob("*.jsonl"))]
    if not keys:
        raise UserError(f"{run.directory}: no sheet was exported; `rankshift labels export` first")
    ids = {row.id.strip() for row in rows}
    best = max(keys, key=lambda key: len(ids & {row.id for row in key}))
    known, met = {row.id for row in best}, set()
    for row in rows:
        where, name = f"{path}: row {row.number}", row.id.strip()
        if name not in known:
            raise UserError(
                f"{where}: the id {name[:40]!r} is not of the sheet; restore it or remove the row"
            )
        if name in met:
            raise UserError(f"{where}: the id {name} is there twice; remove one of its rows")
        met.add(name)
    return best


def _find_answers(
    run: StudyRun, evaluation: str, sampled: Sequence[SampledRecord]
) -> dict[str, AnswerRecord]:
    """Find the answers that were sampled, by the sheet's ids."""
    found: dict[str, AnswerRecord] = {}
    wanted = {(row.arm, *answer_key(row)): row.id for row in sampled}
    for arm, step in sorted({(row.arm, row.step) for row in sampled}):
        path = run.arm(arm).answers_path(evaluation, step)
        if not path.exists():
            raise UserError(
                f"{path}: no such file; the study was changed since the sheet was exported: "
                "change its evaluation back, or export a new sheet"
            )
        for answer in read_records(path, AnswerRecord):
            name = wanted.get((arm, *answer_key(answer)))
            if name is not None:
                found[name] = answer
    return found


def _read_verdicts(
    path: Path,
    rows: Sequence[Row],
    sampled: Sequence[SampledRecord],
    answers: Mapping[str, AnswerRecord],
    judge: str,
) -> list[tuple[SampledRecord, VerdictRecord]]:
    """Turn every labelled row into a verdict, in the order of the key."""
    by_id = {row.id: row for row in sampled}
    said: dict[str, VerdictRecord] = {}
    for row in rows:
        where, name = f"{path}: row {row.number}", row.id.strip()
        readings = read_label(row, where)
        altered = find_altered(row, answers[name].prompt, answers[name].answer)
        if altered is not None:
            raise UserError(
                f"{where}: the {altered} is not what was exported, so what was labelled cannot be "
                f"told; restore the cell, or remove the row"
            )
        if readings is not None:
            said[name] = make_verdict(answers[name], judge, readings)
    return [(by_id[name], said[name]) for name in by_id if name in said]
