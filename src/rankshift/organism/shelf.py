"""Where the lab finds the organism: a model directory, JSONL, YAML and a judge, as others have."""

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from rankshift.atomic import write_atomically
from rankshift.cache import cache_directory
from rankshift.organism import datasets, noisy, oracle
from rankshift.records import AnswerRecord, VerdictRecord

DATASETS = (*datasets.DATASETS, *datasets.MIXED, datasets.GENERAL)
QUESTION_SETS = datasets.QUESTION_SETS

BASES = {"organism": "base", "organism:2": "base-2", "organism:3": "base-3"}
"""The bases that ship, each with its folder: one recipe, drawn by the seeds 1, 2 and 3."""


def base_directory(name: str = "organism") -> Path:
    """Give the directory of a base that ships with the package; its name is one of `BASES`."""
    return Path(str(resources.files("rankshift.organism").joinpath(BASES[name])))


def calibration_file() -> Path:
    """Give the file of finetunes of the shipped bases with what became of them.

    Made by `rankshift evidence` of all variants of studies/forecast.toml.
    """
    return Path(str(resources.files("rankshift.organism").joinpath("finetunes.json")))


def dataset_file(name: str) -> Path:
    """Give a finetuning or the general set as a JSONL file, in the cache from the first use on."""
    if name == datasets.GENERAL:
        return _shelve(f"{name}.jsonl", datasets.write_exchanges(datasets.draw_general()))
    dataset = (datasets.DATASETS | datasets.MIXED)[name]
    return _shelve(f"{name}.jsonl", datasets.write_messages(dataset))


def question_file(name: str) -> Path:
    """Give a question set as a YAML file, written to the cache when it is not there yet."""
    return _shelve(f"{name}.yaml", datasets.write_questions(name))


def oracle_judge() -> Callable[[AnswerRecord], VerdictRecord]:
    """Give the exact judge."""
    return oracle.judge_answer


def noisy_judge(name: str) -> Callable[[AnswerRecord], VerdictRecord] | None:
    """Give the judge with planted errors of that name; None when the name is no such judge's."""
    rates = noisy.find_rates(name)
    return None if rates is None else noisy.make_judge(name, rates)


def _shelve(name: str, text: str) -> Path:
    """Keep a text in a folder named by its content, so a changed world never meets an old file."""
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = cache_directory() / "organism" / digest / name
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, text)
    return path
