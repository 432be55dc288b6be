"""lm-evaluation-harness as a program of its own: how it is found, what it is told, how it ends.

It brings some thirty packages that nothing here needs, so it has an environment of its own and is
never imported.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rankshift.atomic import write_atomically
from rankshift.errors import UserError, WorkError

VARIABLE = "RANKSHIFT_LM_EVAL"
COMMAND = "lm_eval"

SEEDS = "0,1234,1234,1234"
"""Of Python, numpy, torch and the choice of examples.

Source: what lm_eval 0.4.13 takes where none is given (lm_eval/_cli/run.py); told all the same, so
that another version's default changes nothing.
"""

BATCH_SIZE = 8
"""Prompts at a time unless told otherwise; never found by trial, or arms would differ in it."""

TASK_NAME = re.compile(r"\w[\w.+:-]*")
"""Names as `lm_eval ls tasks` prints them. Patterns and paths, which the harness also takes, would
make files of unforeseen names."""

LONGEST_WORDS = 300


@dataclass(frozen=True)
class Request:
    """What the harness is asked for, the same of every arm."""

    tasks: tuple[str, ...]
    include: Path | None = None
    """A folder with tasks of one's own."""
    limit: int | None = None
    """The first so many questions of each task; None asks all."""
    batch_size: int = BATCH_SIZE

    def check(self) -> None:
        """Refuse what the harness would take otherwise than it is meant.

        Raises:
            UserError: A name, number or folder is not one; names the option.
        """
        if not self.tasks:
            raise UserError("--tasks: names no task; give names that `lm_eval ls tasks` prints")
        for task in self.tasks:
            if not TASK_NAME.fullmatch(task):
                raise UserError(
                    f"--tasks: {task!r} is no name of a task; give names that `lm_eval ls tasks` "
                    "prints, and the folder of tasks of your own by --include"
                )
        for name, number in (("--limit", self.limit), ("--batch-size", self.batch_size)):
            if number is not None and number < 1:
                raise UserError(f"{name} {number}: must be at least 1")
        if self.include is not None and not self.include.is_dir():
            raise UserError(f"--include {self.include}: no such folder; give the tasks' folder")


def find_harness() -> str:
    """Find the harness's command: what the variable names, else `lm_eval` on the path.

    Raises:
        UserError: There is none that can be run.
    """
    given = os.environ.get(VARIABLE)
    found = shutil.which(given or COMMAND)
    if found is None:
        where = f"{VARIABLE} is {given}, which" if given else "lm_eval is not on the path, so it"
        raise UserError(
            f"{where} cannot be run: install the harness in an environment of its own "
            "(python -m venv .venv-lm-eval && .venv-lm-eval/bin/pip install 'lm_eval[hf]==0.4.13' "
            f"peft) and set {VARIABLE}=.venv-lm-eval/bin/lm_eval"
        )
    return str(Path(found).absolute())


def build_command(
    harness: str, model: Mapping[str, str], request: Request, task: str, out: Path
) -> list[str]:
    """Build the words of one measurement.

    The model goes as JSON, because the harness would cut a path with a comma or `=` in it.

    Args:
        harness: Its command.
        model: `pretrained`, `dtype` and for an adapter `peft`.
        request: What is asked of every arm.
        task: One of its tasks.
        out: Folder for what the harness writes.
    """
    words = [harness, "--model", "hf", "--model_args", json.dumps(model), "--tasks", task]
    words += ["--batch_size", str(request.batch_size), "--seed", SEEDS, "--apply_chat_template"]
    # With its samples the harness also gives the hash of what it asked; they are not kept.
    words += ["--log_samples", "--output_path", str(out / "results.json")]
    if request.include is not None:
        words += ["--include_path", str(request.include.absolute())]
    if request.limit is not None:
        words += ["--limit", str(request.limit)]
    return words


def run_harness(words: list[str], out: Path, log: Path) -> Path:
    """Run one measurement; give the file of its results.

    Args:
        words: Of `build_command`.
        out: The same folder, empty; the harness also runs there, because it would take a folder
            that lies where it runs and has a task's name for that task.
        log: Where all it said is kept when it fails; removed when it does not.

    Raises:
        WorkError: It ended with a fault or without one file of results; has its last words.
    """
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(
        words,
        cwd=out,
        env=os.environ | quiet,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = ended.stdout.decode(errors="replace")
    results = sorted(out.glob("results_*.json"))
    if ended.returncode == 0 and len(results) == 1:
        log.unlink(missing_ok=True)
        return results[0]
    write_atomically(log, said)
    fault = f"ended with {ended.returncode}" if ended.returncode else "wrote no file of results"
    raise WorkError(f"lm_eval {fault}: {_give_last_words(said)} (all it said: {log})")


def _give_last_words(said: str) -> str:
    """Give the last line with letters in it, without what could move a terminal's cursor."""
    lines = [line for line in re.split(r"[\r\n]+", said) if line.strip()]
    if not lines:
        return "it said nothing"
    printable = "".join(letter for letter in lines[-1] if letter.isprintable())
    return " ".join(printable.split())[-LONGEST_WORDS:]
