"""Every reader of files that others wrote: how a malformed input is put before it."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rankshift.data.conversations import read_conversations
from rankshift.data.directories import fingerprint_base
from rankshift.data.given import resolve_given
from rankshift.eval.journal import read_journal
from rankshift.eval.question_files import read_question_file
from rankshift.executor.plan import read_plan
from rankshift.imports.inspect_logs import read_log
from rankshift.imports.joining import join_files
from rankshift.imports.judged import read_judged
from rankshift.labels.sheet import read_label, read_sheet
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.adapter_files import check_finite
from rankshift.model.loading import check_weights, load_model, load_skeleton, load_tokenizer
from rankshift.records import AnswerRecord, HeldOutRecord, StepRecord, VerdictRecord, read_records
from rankshift.runs import StudyRun
from rankshift.study import GivenModel, Import
from rankshift.study_file import read_judging, read_studies

Content = bytes | Mapping[str, bytes | None]
"""A file's bytes; or, of a directory, the files that stand in place of the valid one's, None for
one that is taken away."""


@dataclass(frozen=True)
class Case:
    """What is wrong, with inputs that have it, and what the message must hold."""

    reader: str
    reason: str
    says: str
    inputs: tuple[Content, ...]


def case(reader: str, reason: str, says: str, *inputs: str | Content) -> Case:
    """Make a case; texts become UTF-8."""
    return Case(
        reader, reason, says, tuple(i.encode() if isinstance(i, str) else i for i in inputs)
    )


def _file(name: str, read: Callable[[Path], object]) -> Callable[[Path, Content, Path], None]:
    def put_and_read(folder: Path, content: Content, base: Path) -> None:
        assert isinstance(content, bytes)
        (folder / name).write_bytes(content)
        seal_and(read, folder / name)

    return put_and_read


def seal_and(read: Callable[[Path], object], path: Path) -> None:
    """Read; a reader that writes beside what it reads would be seen."""
    before = sorted(path.parent.rglob("*"))
    try:
        read(path)
    finally:
        assert sorted(path.parent.rglob("*")) == before, "something was written"
        assert not Path("run").exists(), "code of the input was run"


def _directory(read: Callable[[Path, Path], object]) -> Callable[[Path, Content, Path], None]:
    def put_and_read(folder: Path, content: Content, base: Path) -> None:
        assert isinstance(content, Mapping)
        shutil.copytree(base, folder / "model")
        for name, text in content.items():
            place = folder / "model" / name
            place.unlink(missing_ok=True)
            if text is not None:
                place.write_bytes(text)
        seal_and(lambda path: read(path, base), folder / "model")

    return put_and_read


def _read_adapter(directory: Path, base: Path) -> None:
    source = resolve_given(GivenModel("theirs", str(directory)))
    assert source.method == "adapter"
    read_adapter_config(source.directory, load_skeleton(base.parent / "base"))
    check_finite(source.directory)


def _read_model(directory: Path, _: Path) -> None:
    fingerprint_base(directory)
    check_weights(directory, load_skeleton(directory))
    load_tokenizer(directory)
    load_model(directory)


TABLE = Import(file="t", judge="j", question_set="mine")
READERS: dict[str, Callable[[Path, Content, Path], None]] = {
    "study": _file("s.toml", read_studies),
    "judging": _file("judging.toml", read_judging),
    "rows": _file("rows.jsonl", read_conversations),
    "questions": _file("q.yaml", lambda path: read_question_file(path, "mine")),
    "question table": _file("q.csv", lambda path: read_question_file(path, "mine")),
    "code tasks": _file("q.jsonl", lambda path: read_question_file(path, "mine")),
    "import csv": _file("t.csv", lambda path: join_files([("j", read_judged(path, TABLE))])),
    "import jsonl": _file("t.jsonl", lambda path: join_files([("j", read_judged(path, TABLE))])),
    "import parquet": _file("t.parquet", lambda path: read_judged(path, TABLE)),
    "import log": _file("t.eval", lambda path: read_log(path, TABLE)),
    "label sheet": _file(
        "sheet.csv",
        lambda path: [read_label(row, f"{path}: row {row.number}") for row in read_sheet(path)],
    ),
    "adapter": _directory(_read_adapter),
    "model": _directory(_read_model),
    "steps": _file("steps.jsonl", lambda path: read_records(path, StepRecord)),
    "held out": _file("held_out.jsonl", lambda path: read_records(path, HeldOutRecord)),
    "answers": _file("answers.jsonl", lambda path: read_records(path, AnswerRecord)),
    "verdicts": _file("verdicts.jsonl", lambda path: read_records(path, VerdictRecord)),
    "journal": _file("calls.jsonl", read_journal),
    "asked study": _file("study.json", lambda path: StudyRun(path.parent).read_study()),
    "plan": _file("plan.json", read_plan),
}
