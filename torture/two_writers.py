"""Let a second writer try again and again, and readers read, while the first one writes."""

import multiprocessing
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult
from pathlib import Path
from threading import Event

from rankshift.errors import UserError
from rankshift.eval.journal import Journal, read_journal
from rankshift.lock import hold_run
from rankshift.records import CallRecord, StepRecord, read_if_there, write_records

READERS = 2


@dataclass(frozen=True)
class Contest:
    """What two writers and some readers did."""

    tries: int
    let_in: int
    """Tries of the second writer that were not refused."""
    reads: int
    torn: int
    """Reads of records that were not whole, or fewer than were there before."""

    def __str__(self) -> str:
        return f"two_writers {self.tries} let_in {self.let_in} reads {self.reads} torn {self.torn}"

    @property
    def is_clean(self) -> bool:
        """Say whether one wrote, and what was read was whole."""
        return not self.let_in and not self.torn and self.reads >= self.tries


def torture_with_two_writers(folder: Path, tries: int) -> Contest:
    """Append and replace records `tries` times, while another process tries to as often."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(2 + READERS) as pool:
        held, tried, written = manager.Event(), manager.Event(), manager.Event()
        writer = pool.apply_async(write_all, (folder, tries, held, tried))
        while not held.wait(1):
            _raise_early(writer)
        readers = [
            pool.apply_async(read_all, (folder, written, tries // READERS)) for _ in range(READERS)
        ]
        let_in = pool.apply_async(try_to_write, (folder, tries)).get()
        tried.set()
        writer.get()
        written.set()
        found = [reader.get() for reader in readers]
    return Contest(tries, let_in, sum(reads for reads, _ in found), sum(torn for _, torn in found))


def _raise_early(result: AsyncResult[None]) -> None:
    if result.ready():
        result.get()


def write_all(folder: Path, tries: int, held: Event, tried: Event) -> None:
    """Hold a folder until the other has tried, and write so many records of two kinds."""
    with hold_run(folder), Journal(folder / "judge.jsonl") as journal:
        held.set()
        for number in range(tries):
            journal.append(make_call(number))
            write_records(folder / "steps.jsonl", [StepRecord(1 + number, 1.0, 9, 1.0, 1e-3)] * 40)
        tried.wait()


def try_to_write(folder: Path, tries: int) -> int:
    """Try to hold the folder; give how often it was not refused with the owner's name."""
    let_in = 0
    for _ in range(tries):
        try:
            with hold_run(folder):
                let_in += 1
        except UserError as refusal:
            let_in += "is being written by process" not in str(refusal)
    return let_in


def read_all(folder: Path, written: Event, reads: int) -> tuple[int, int]:
    """Read until all is written and at least so often; give the reads, and those that were torn."""
    done, torn, before = 0, 0, 0
    while done < reads or not written.is_set():
        done += 1
        try:
            calls = read_journal(folder / "judge.jsonl")
            steps = read_if_there(folder / "steps.jsonl", StepRecord)
        except UserError:
            torn += 1
            continue
        whole = list(calls) == [str(number) for number in range(len(calls))]
        torn += not (whole and len(calls) >= before and len(steps) in (0, 40))
        before = len(calls)
    return done, torn


def make_call(number: int) -> CallRecord:
    """Make a call of a length of its own, so that a line that is mixed with another is seen."""
    text = "x" * (97 * number % 500)
    return CallRecord(str(number), "aligned", text, None, None, 1.0, None, None, None, 1, 0, 1, 1)
