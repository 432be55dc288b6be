"""What one process does for one group: train what is not trained, ask what is not answered."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Literal

import torch
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.completion import find_due_steps, make_due_recipe
from rankshift.derivation import find_source_id
from rankshift.eval.answering import AskedArm, answer_questions
from rankshift.eval.choosing import record_choices, render_options, score_rows
from rankshift.executor.deriving import derive_arm, measure_derived, prepare_derived
from rankshift.executor.devices import load_there, note_peak, tell_shortage
from rankshift.executor.facts import Spent, write_facts
from rankshift.executor.job import Job
from rankshift.executor.room import return_freed_memory
from rankshift.executor.vllm.parity import (
    find_own_part,
    measure_references,
    reference_path,
    write_reference,
)
from rankshift.executor.waves import Wave, divide_neighbours, find_open_waves
from rankshift.executor.weighing import record_updates
from rankshift.model.checkpointing import checkpoint_layers
from rankshift.model.loading import Tokenizer, load_tokenizer, padding_token
from rankshift.model.sharding import load_sharded
from rankshift.model.targets import effective_ranks
from rankshift.model.team import ALONE, Team
from rankshift.model.updates import weigh_linears
from rankshift.records import ChoiceRecord, write_records
from rankshift.runs import ArmFiles, StudyRun, make_recipe
from rankshift.train.group import measure_untrained, train_group
from rankshift.train.roster import Group
from rankshift.train.trainee import (
    Trainee,
    prepare_adapters,
    prepare_base,
    prepare_full,
    prepare_given,
)

Advance = Callable[[Literal["steps", "answers"], int], None]
"""Called with what was just finished: arm-steps, or arms that answered at a checkpoint."""


@tell_shortage()
def work(job: Job, advance: Advance, team: Team = ALONE) -> None:
    """Do a job; killed at any moment and done again, it leaves the same files.

    Args:
        job: What is to be done.
        advance: Told what is done.
        team: The processes that do it together; each of them is here, the first of them writes.

    Raises:
        UserError: The study wants a GPU, and there is none.
        WorkError: A GPU's memory ran out; what was committed is kept.
    """
    torch.set_num_threads(job.group.threads)
    if job.tight:
        return_freed_memory()
    run = StudyRun(job.run_directory)
    files = [run.arm(name) for name in job.group.arms]
    model = _load(job, team)
    tokenizer = load_tokenizer(job.tokenizer_directory or job.base_directory)
    ranks = [_reach(model, arm) for arm in job.arms]
    norms = weigh_linears(model) if job.train else {}
    if job.train and job.arms[0].is_derived:
        job = _derive(job, run, files, model) if team.is_first else job
        team.meet()
    trainee = replace(_prepare(model, job, files), team=team)
    if job.group.fit.checkpointing:
        checkpoint_layers(model)
    if job.train:
        started = monotonic()
        note_peak(model.device)
        defending = _train(job, run, files, trainee, tokenizer, advance)
        if team.is_first:
            record_updates(job.arms, files, job.base_directory, job.study.training.dtype, norms)
            seconds = round(monotonic() - started, 1)
            write_facts(job, run, ranks, Spent(seconds, defending), model.device)
            shutil.rmtree(run.group(job.group.id), ignore_errors=True)
    team.meet()
    recipes = [make_due_recipe(run, arm, job.study, job.fingerprints) for arm in job.arms]
    due = [find_due_steps(one, recipe) for one, recipe in zip(files, recipes, strict=True)]
    if job.answers:
        _answer_all(job, files, trainee, tokenizer, due, advance)


def _answer_all(
    job: Job,
    files: list[ArmFiles],
    trainee: Trainee,
    tokenizer: Tokenizer,
    due: list[tuple[int, ...]],
    advance: Advance,
) -> None:
    """Do what this process does for answers; another engine's are counted when it gives them."""
    engine, left = job.study.evaluation.engine, job.answers
    waves = find_open_waves(files, due, job.evaluation, find_own_part(engine))
    trainee.team.meet()  # all have seen which are open before the first closes one
    for wave in waves:
        _answer(job, files, trainee, tokenizer, wave)
        left -= len(wave)
        if engine == "rankshift":
            advance("answers", len(wave))
    if left > 0 and engine == "rankshift":  # crossings that did not come
        advance("answers", left)


def _load(job: Job, team: Team) -> PreTrainedModel:
    if team.size > 1:
        dtype = getattr(torch, job.study.training.dtype)
        return load_sharded(job.base_directory, dtype, team)
    return load_there(job.base_directory, job.study)


def _derive(job: Job, run: StudyRun, files: list[ArmFiles], model: PreTrainedModel) -> Job:
    sources = [find_source_id(arm, job.study, job.fingerprints) for arm in job.arms]
    made = zip(job.arms, map(run.arm, filter(None, sources)), files, strict=True)
    return replace(job, own_facts=tuple(derive_arm(*one, model, job.base_name) for one in made))


def _prepare(model: PreTrainedModel, job: Job, files: list[ArmFiles]) -> Trainee:
    if job.arms[0].is_derived:
        return prepare_derived(model, files)
    if job.group.method == "lora":
        return prepare_adapters(model, list(job.arms), job.base_name)
    if job.group.method == "adapter":
        return prepare_given(model, job.given)
    is_full = job.group.method == "full"
    return prepare_full(model, subset=job.arms[0].subset) if is_full else prepare_base(model)


def _train(
    job: Job,
    run: StudyRun,
    files: list[ArmFiles],
    trainee: Trainee,
    tokenizer: Tokenizer,
    advance: Advance,
) -> list[float]:
    """Train or measure; give the seconds that each arm's defence took besides."""
    for arm, arm_files in zip(job.arms, files, strict=True) if trainee.team.is_first else ():
        arm_files.write_arm(arm, make_recipe(arm, job.study, job.fingerprints))
    group = Group(
        arms=list(job.arms),
        files=files,
        train_rows=[job.train_rows] * len(files),
        held_out=list(job.held_out),
        training=job.study.training,
        state_folder=run.group(job.group.id),
        pad_token=padding_token(tokenizer),
        micro_rows=job.group.micro_rows,
        arms_per_pass=job.group.fit.arms_per_pass,
        floor=make_recipe(job.arms[0], job.study, job.fingerprints).floor,
        unrelated=job.unrelated,
        means=list(job.means),
    )
    if job.arms[0].is_trained:
        return train_group(group, trainee, lambda steps: advance("steps", steps * len(files)))
    if job.arms[0].is_derived:
        measure_derived(group, trainee)
    else:
        measure_untrained(group, trainee)
    return [0.0] * len(files)


def _answer(
    job: Job, files: list[ArmFiles], trainee: Trainee, tokenizer: Tokenizer, wave: Wave
) -> None:
    for index, step in wave.items():
        trainee.read(files[index].checkpoint(step), index)
    trainee.model.eval()
    choices = _weigh_choices(job, trainee, tokenizer, wave)
    trainee.select(range(len(files)))
    evaluation = job.evaluation
    written = list(enumerate(wave.items())) if trainee.team.is_first else []
    for place, (index, step) in written if job.choices else ():
        write_records(files[index].choices_path(evaluation, step), choices[place])
    # What is written below comes last: where it is, the checkpoint is not asked again.
    if job.study.evaluation.engine == "vllm":
        references = measure_references(trainee, tokenizer, job.questions, list(wave))
        for place, (index, step) in written:
            write_reference(reference_path(files[index], evaluation, step), references[place])
        if job.questions:
            return
    asked = [AskedArm(job.group.arms[index], step, index) for index, step in wave.items()]
    answers = answer_questions(trainee.model, tokenizer, asked, job.questions, job.study.evaluation)
    for place, (index, step) in written:
        write_records(files[index].answers_path(evaluation, step), answers[place])


def _weigh_choices(
    job: Job, trainee: Trainee, tokenizer: Tokenizer, wave: Wave
) -> list[list[ChoiceRecord]]:
    """Let the arms of a wave weigh every option, in passes of the size of held-out ones."""
    rows = render_options(tokenizer, job.choices)
    records: list[list[ChoiceRecord]] = []
    for arms in divide_neighbours(list(wave), job.group.fit.arms_per_pass):
        trainee.select(arms)
        scores = score_rows(
            trainee.model,
            rows,
            len(arms),
            job.group.micro_rows,
            pad_token=padding_token(tokenizer),
            plain_head=trainee.traits.plain_head,
        )
        records += [
            record_choices(job.choices, rows, own, wave[index])
            for index, own in zip(arms, scores, strict=True)
        ]
    return records


def _reach(model: PreTrainedModel, arm: Arm) -> dict[str, int] | None:
    rank = arm.truncated_to or arm.rank
    return None if rank is None else effective_ranks(model, rank, arm.subset)
