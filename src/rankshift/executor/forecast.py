"""Forecast rates of finetunes of a base on some data: before training, or in its first steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rankshift.analysis.forecast import Forecast, find_fault, list_evidence, make_forecast
from rankshift.analysis.measurements import read_measurements
from rankshift.arms import expand_arms
from rankshift.data.sources import resolve_dataset
from rankshift.errors import UserError
from rankshift.executor.before import draw_data, read_before
from rankshift.executor.calibrating import read_calibration
from rankshift.executor.devices import tell_shortage
from rankshift.executor.first_steps import read_first_steps
from rankshift.executor.foretelling import find_premises
from rankshift.executor.premises import Premises
from rankshift.forecast_records import EarlyReadings, Finetune, Subject
from rankshift.runs import StudyRun, identify_arms
from rankshift.study import Base, Evaluation, Study


@dataclass(frozen=True)
class Asked:
    """What a forecast is wanted of."""

    study: Study
    """The recipe, base and data; without a grid it asks for the calibrating finetunes' ranks."""
    run: Path | None = None
    """A begun run of it, whose first checkpoints are read."""
    calibration: tuple[Path, ...] = ()
    """Files of evidence, or run directories that hold one, beside what ships."""
    contrasts: str | None = None
    fail_above: float | None = None


def ask_of(base: str, data: str) -> Study:
    """Make a study of a base and data alone, for want of a recipe."""
    study = Study(name="forecast", base=Base(base), evaluation=Evaluation(suites=()))
    return replace(study, data=replace(study.data, task=data))


def forecast_finetunes(asked: Asked, say: Callable[[str], None]) -> Forecast:
    """Forecast.

    Raises:
        UserError: The base, the data, the contrasts or the calibration are not to be had, or
            there is no adapter to forecast.
        WorkError: A GPU's memory ran out.
    """
    study = asked.study
    if study.data.task is None:
        raise UserError(f"{study.name}: has no data.task, so there is nothing to forecast")
    data = resolve_dataset(study.data.task)
    known = read_calibration(asked.calibration)
    with tell_shortage():
        say("reading the base and its contrasts")
        premises = find_premises(study, None, asked.contrasts)
        rows = draw_data(data.path, premises.tokenizer, study.data.context_tokens)
        say(f"reading {len(rows)} rows of {study.data.task} with the base")
        before = read_before(premises, rows)
        early = _read_early(asked.run, premises, say) if asked.run else {}
    like = [one for one in known if one.contrasts == premises.contrasts_sha256]
    subject = Subject(
        arm="",
        study=study.name,
        base=study.base.model,
        base_fingerprint=premises.fingerprint,
        data=study.data.task,
        data_fingerprint=data.sha256,
        contrasts=premises.contrasts_sha256,
        method="lora",
        rank=None,
        u=None,
        steps=study.training.steps,
        seed=None,
        before=before,
        early=(),
    )
    fault = find_fault(subject, known)
    if fault is not None:
        seen = list_evidence([subject], like, None)
        return Forecast(subject.base, subject.data, "before training", fault, seen)
    wanted = list_wanted(asked, subject, early, like)
    return make_forecast(wanted, like, find_share(early, like), asked.fail_above)


def find_share(
    early: Mapping[str, Sequence[EarlyReadings]], known: Sequence[Finetune]
) -> float | None:
    """Find the latest share of the steps that all arms have come to and finetunes were read at."""
    there = {seen.share for one in known for seen in one.early}
    reached = [{seen.share for seen in own} for own in early.values()]
    return max(there.intersection(*reached), default=None) if reached else None


def list_wanted(
    asked: Asked,
    like: Subject,
    early: Mapping[str, tuple[EarlyReadings, ...]],
    known: Sequence[Finetune],
) -> list[Subject]:
    """List the adapters that a forecast is wanted of: a study's, or as in what is known.

    Raises:
        UserError: The study trains no adapter on the task.
    """
    if asked.run is None and not asked.study.grid.trains:
        cells = sorted({(one.rank, one.u) for one in known if one.rank and one.u})
        return [replace(like, rank=rank, u=u) for rank, u in cells]
    if asked.run is not None:
        arms = identify_arms(*StudyRun(asked.run).read_study())
    else:
        arms = {str(at): arm for at, arm in enumerate(expand_arms(asked.study, ()))}
    wanted = [
        replace(like, arm=name, rank=arm.rank, u=arm.u, seed=arm.seed, early=early.get(name, ()))
        for name, arm in arms.items()
        if arm.method == "lora" and arm.role == "task" and arm.is_plain
    ]
    if not wanted:
        raise UserError(
            f"{asked.study.name}: trains no adapter on the task, and full finetuning is not "
            "forecast; give a study with ranks"
        )
    return wanted


def _read_early(
    directory: Path, premises: Premises, say: Callable[[str], None]
) -> dict[str, tuple[EarlyReadings, ...]]:
    run = StudyRun(directory)
    study, _ = run.read_study()
    measured = {arm.id: arm for arm in read_measurements(run)}
    say("reading the arms at their first checkpoints")
    return read_first_steps(premises, run, study.training, measured)
