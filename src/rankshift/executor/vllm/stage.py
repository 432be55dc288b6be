"""Answers by vLLM, of every arm at every checkpoint that our own engine is done with."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rankshift.atomic import make_folder, write_atomically
from rankshift.completion import find_due_steps, make_due_recipe
from rankshift.errors import WorkError
from rankshift.eval.answering import list_asked, record_answer
from rankshift.executor.job import Job
from rankshift.executor.plan import Group
from rankshift.executor.resolving import ResolvedStudy
from rankshift.executor.vllm.buckets import Bucket, Due, choose_kind, fill_buckets
from rankshift.executor.vllm.child import find_vllm, run_request
from rankshift.executor.vllm.merged_folder import write_merged
from rankshift.executor.vllm.parity import (
    LARGEST_DIFFERENCE,
    Parity,
    TopTokens,
    compare,
    find_fault,
    read_reference,
    reference_path,
)
from rankshift.executor.vllm.request import Asked, make_request
from rankshift.executor.watch import Watch
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.loading import load_skeleton, load_tokenizer
from rankshift.model.sampling import cut_at_end
from rankshift.records import write_records
from rankshift.runs import ArmFiles, StudyRun
from rankshift.study import NumberType

SCRATCH = "vllm"
"""Folder of the run for what vLLM reads; removed when it is done, and before it begins."""

LOG = "vllm.log"


def find_unanswered(groups: Sequence[Group], resolved: ResolvedStudy) -> list[Group]:
    """Find the groups with an arm that our engine is done with and that has not answered."""
    return [
        group for group in groups if any(list_unanswered(resolved, name) for name in group.arms)
    ]


def list_unanswered(resolved: ResolvedStudy, name: str) -> list[int]:
    """List the steps at which an arm is yet to answer."""
    arm, files = resolved.arms[name], resolved.run.arm(name)
    recipe = make_due_recipe(resolved.run, arm, resolved.study, resolved.parts.fingerprints)
    evaluation = resolved.evaluation
    return [
        step
        for step in find_due_steps(files, recipe)
        if reference_path(files, evaluation, step).exists()
        and not files.answers_path(evaluation, step).exists()
    ]


def generate_answers(jobs: Sequence[Job], resolved: ResolvedStudy, watch: Watch) -> None:
    """Let vLLM answer for every arm of some groups that has not answered.

    An arm's answers at a checkpoint are written when its call of the engine ends, so a run that was
    killed asks for the others alone.

    Args:
        jobs: Of the groups.
        resolved: The study.
        watch: Told what is done.

    Raises:
        UserError: There is no vLLM, or a file of the run was cut or edited.
        WorkError: vLLM failed, or does not compute an arm as our engine does.
    """
    due = [one for job in jobs for one in list_due(job, resolved)]
    watch.begin("answers", len(due))
    stage = Stage(resolved, find_vllm(), watch, {i: job for job in jobs for i in job.group.arms})
    for bucket in fill_buckets(due):
        stage.generate(bucket)


def list_due(job: Job, resolved: ResolvedStudy) -> Iterator[Due]:
    """Yield the arms of a group at the checkpoints that are yet to be answered at."""
    method = job.group.method
    skeleton = load_skeleton(job.base_directory) if method in ("lora", "adapter") else None
    for place, (name, arm) in enumerate(zip(job.group.arms, job.arms, strict=True)):
        for step in list_unanswered(resolved, name):
            if method == "base":
                yield Due(name, arm.label, step, "base")
                continue
            folder = resolved.run.arm(name).checkpoint(step)
            folder = job.given[place] if arm.is_given else folder
            if skeleton is None:
                yield Due(name, arm.label, step, "model", folder.resolve())
                continue
            rank = read_adapter_config(folder, skeleton).rank
            yield Due(name, arm.label, step, choose_kind(rank), folder.resolve(), rank)


@dataclass
class Stage:
    """What every engine's answers share."""

    resolved: ResolvedStudy
    python: Path
    watch: Watch
    jobs: dict[str, Job]
    """By the ids of their arms."""
    engine: dict[str, Any] = field(default_factory=dict)
    """What the engine at work says of itself."""

    @property
    def run(self) -> StudyRun:
        """Give the study's files."""
        return self.resolved.run

    def generate(self, bucket: Bucket) -> None:
        """Let one engine answer."""
        folder = self.run.directory / SCRATCH
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        try:
            self._generate(bucket, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _generate(self, bucket: Bucket, folder: Path) -> None:
        study, (first, *others) = self.resolved.study, bucket.due
        job = self.jobs[first.arm]
        tokenizer = load_tokenizer(job.tokenizer_directory or job.base_directory)
        asked = {
            one.key: Asked(
                self.jobs[one.arm].questions,
                tokenizer,
                read_reference(reference_path(*self._place(one))),
            )
            for one in bucket.due
        }
        model, dtype = self._find_model(first, job, folder)
        request = make_request(bucket, asked, model, dtype, study.evaluation)
        by_key = {one.key: one for one in bucket.due}
        more = f" and {len(others)} more" if others else ""
        self.watch.say(f"vLLM: {first.label} at step {first.step}{more}")

        def take(message: dict[str, Any]) -> None:
            if "ready" in message:
                self.engine = message | request["engine"]
                return
            one = by_key[message["key"]]
            self.keep(one, asked[one.key], message, dtype)

        threads = study.compute.workers * study.compute.threads
        log = self.run.directory / LOG
        run_request(self.python, request, folder, log, threads, take)

    def _place(self, due: Due) -> tuple[ArmFiles, str, int]:
        return self.run.arm(due.arm), self.resolved.evaluation, due.step

    def _find_model(self, due: Due, job: Job, folder: Path) -> tuple[Path, NumberType]:
        """Give the directory that the engine loads, and the type it computes in."""
        if due.kind == "merged":
            assert due.folder is not None
            write_merged(due.folder, job.base_directory, folder / "model")
            return (folder / "model").resolve(), "float32"
        whole = due.folder if due.kind == "model" else job.base_directory
        assert whole is not None
        return whole.resolve(), self.resolved.study.training.dtype

    def keep(self, due: Due, asked: Asked, message: dict[str, Any], dtype: NumberType) -> None:
        """Compare what an arm's first tokens are, and write its answers if they are ours."""
        base = _read_tops(message["base"]) if due.kind == "adapter" else None
        parity = compare(asked.reference, _read_tops(message["arm"]), base)
        ours = self.resolved.study.training.dtype
        fault = find_fault(parity, ours)
        if fault is not None:
            raise WorkError(
                f"{due.label} at step {due.step}: in vLLM {fault}; its answers are not taken: mend "
                "its files or vLLM, or leave evaluation.engine out"
            )
        evaluation, ends = self.resolved.study.evaluation, asked.reference.end_tokens
        records = [
            record_answer(
                question, repeat, due.step, cut_at_end(tokens, ends), asked.tokenizer, evaluation
            )
            for (question, repeat), tokens in zip(
                list_asked(asked.questions, evaluation), message["answers"], strict=True
            )
        ]
        files, name, step = self._place(due)
        told = self._describe(due, parity, ours, dtype)
        write_atomically(generation_path(files, name, step), json.dumps(told, indent=2) + "\n")
        write_records(files.answers_path(name, step), records)
        self.watch.advance("answers", 1)

    def _describe(
        self, due: Due, parity: Parity, ours: NumberType, dtype: NumberType
    ) -> dict[str, object]:
        """Give what is kept beside the answers of how they were made."""
        return {
            "engine": "vllm",
            "versions": self.engine["versions"],
            "on_a_cpu": self.engine["cpu"],
            "held_as": due.kind,
            "dtype": dtype,
            "max_lora_rank": self.engine.get("max_lora_rank"),
            "parity": asdict(parity) | {"largest_allowed": LARGEST_DIFFERENCE[ours]},
        }


def generation_path(files: ArmFiles, evaluation: str, step: int) -> Path:
    """Name the file that says how an arm's answers at a step were made."""
    return files.answers_folder(evaluation).parent / "generation" / f"step-{step:06d}.json"


def _read_tops(told: dict[str, Any]) -> TopTokens:
    return TopTokens(tuple(map(tuple, told["tokens"])), tuple(map(tuple, told["logprobs"])))
