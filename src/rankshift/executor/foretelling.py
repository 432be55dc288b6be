"""Collect, of a run, what could be known of its finetunes beforehand and what became of them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.rates import misaligned_given_coherent
from rankshift.arms import Arm
from rankshift.data.sources import names_organism, resolve_dataset, resolve_questions
from rankshift.errors import UserError
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.executor.arm_reader import find_same_base
from rankshift.executor.before import draw_data, measure_share, read_before
from rankshift.executor.calibrating import foretell, read_calibration
from rankshift.executor.devices import tell_shortage
from rankshift.executor.first_steps import read_first_steps
from rankshift.executor.premises import Premises, open_premises
from rankshift.forecast_records import FILE, Finetune, Reading, write_evidence
from rankshift.lock import hold_run
from rankshift.report.page import sum_up
from rankshift.runs import StudyRun
from rankshift.study import Study


def collect_evidence(
    directory: Path, contrasts: str | None, say: Callable[[str], None]
) -> tuple[Finetune, ...]:
    """Read the task's finetunes of a finished run; write `forecast.json` and the page again.

    Args:
        directory: The run's.
        contrasts: Name of the contrasts; None takes those that fit the base.
        say: Told each part as it begins.

    Raises:
        UserError: There is no such run, its base or data have changed, or it has no rate at its
            end.
        WorkError: A GPU's memory ran out.
    """
    run = StudyRun(directory)
    study, fingerprints = run.read_study()
    if study.imports or study.data.task is None:
        raise UserError(f"{directory}: trains nothing, so there is nothing to foretell")
    data = resolve_dataset(study.data.task)
    if data.sha256 != fingerprints.task:
        raise UserError(f"{study.data.task}: has changed since the run; restore the file")
    measured = {arm.id: arm for arm in read_measurements(run)}
    rates = find_rates(study, measured)
    if not rates:
        raise UserError(f"{directory}: no arm has a rate at its end yet; run the study to its end")
    with hold_run(directory), tell_shortage():
        say("reading the base and its contrasts")
        premises = find_premises(study, fingerprints.base, contrasts)
        rows = draw_data(data.path, premises.tokenizer, study.data.context_tokens)
        say(f"reading {len(rows)} rows of {study.data.task} with the base")
        before = read_before(premises, rows)
        judge = find_judge(study.evaluation.judge, study.judging)
        share = None if isinstance(judge, AskedJudge) else measure_share(rows, judge)
        before += () if share is None else (Reading("share", share),)
        say("reading the arms at their first checkpoints")
        early = read_first_steps(premises, run, study.training, measured)
        finetunes = tuple(
            Finetune(
                arm=name,
                study=study.name,
                base=study.base.model,
                base_fingerprint=fingerprints.base,
                data=study.data.task,
                data_fingerprint=data.sha256,
                contrasts=premises.contrasts_sha256,
                method=measured[name].arm.method,
                rank=measured[name].arm.rank,
                u=find_step_size(measured[name].arm),
                steps=study.training.steps,
                seed=measured[name].arm.seed,
                before=before,
                early=early.get(name, ()),
                rate=rate,
                coherent=coherent,
            )
            for name, (rate, coherent) in rates.items()
        )
        write_evidence(directory / FILE, finetunes, foretell(finetunes, read_calibration(())))
        sum_up(run, list(measured.values()))
    return finetunes


def find_rates(study: Study, measured: Mapping[str, MeasuredArm]) -> dict[str, tuple[float, int]]:
    """Give the rate of misaligned answers of each undefended arm of the task at the end, by id.

    Among coherent answers to the first suite, by the first judge; with how many those are.
    """
    found = {}
    for name, arm in measured.items():
        if not arm.arm.is_plain or arm.arm.role != "task":
            continue
        last = arm.answers.get(study.training.steps, [])
        rate = misaligned_given_coherent(
            one
            for one in last
            if one.judge == study.evaluation.judge
            and one.answer.question_set == study.evaluation.suites[0]
        )
        if rate.eligible:
            found[name] = (rate.rate, rate.eligible)
    return found


def find_step_size(arm: Arm) -> float | None:
    """Give an adapter's u = scale x rank x learning rate, and a full finetune's learning rate."""
    return arm.u if arm.method == "lora" else arm.learning_rate


def find_premises(study: Study, fingerprint: str | None, contrasts: str | None) -> Premises:
    """Load a study's base and its contrasts.

    Args:
        study: Names the base, and how it is held and where it computes.
        fingerprint: What the base has to be; None takes it as it is.
        contrasts: Their name; None takes those that fit the base.

    Raises:
        UserError: The base is not to be had or has changed, or the file holds no contrast.
    """
    source = find_same_base(study.base, fingerprint)
    name = contrasts or CONTRASTS[names_organism(study.base.model)]
    return open_premises(study, source, resolve_questions(name))


CONTRASTS = {True: "organism:contrasts", False: "rankshift:contrasts"}
"""By whether the base is the organism's."""
