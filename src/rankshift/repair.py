"""Files of records whose last line was torn: the line is cut off, and its rows are made again.

Records are written whole or not at all, so a kill tears none; a disk that loses what it said it had
kept, or a copy that broke off, may. Only a last line can be torn: any other that cannot be read was
altered, and is refused by file and line when it is read.
"""

from collections.abc import Iterator
from pathlib import Path

from rankshift.atomic import explain_refusal
from rankshift.runs import ArmFiles, StudyRun


def repair_run(run: StudyRun) -> list[str]:
    """Take back what was torn, so that the stage that made it makes it again, bit for bit.

    Of an arm's own files the line is cut off, and its provenance goes, without which it is trained
    again from its group's state or anew. A file of answers, verdicts or choices goes as a whole:
    where one is, nobody asks again; with choices go the answers that are written after them. Only
    for who holds the run's lock.

    Returns:
        A line on each file.
    """
    said = []
    for path in list(_list_torn(run)):
        with explain_refusal(path):
            if path.parent.parent.name == "arms":
                _cut_last_line(path)
                ArmFiles(path.parent).provenance_path.unlink(missing_ok=True)
            else:
                path.unlink()
                if path.parent.name == "choices":
                    (path.parent.parent / "answers" / path.name).unlink(missing_ok=True)
        said.append(f"{path}: its last line was torn; what it held is made again")
    return said


def is_torn(path: Path) -> bool:
    """Say whether a file of records ends within a line."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def _list_torn(run: StudyRun) -> Iterator[Path]:
    for path in sorted((run.directory / "arms").rglob("*.jsonl")):
        if is_torn(path):
            yield path


def _cut_last_line(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(content.rfind(b"\n") + 1)
