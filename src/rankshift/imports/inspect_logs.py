"""Inspect's logs to judged answers: our own, and those of any task that scores the same two things.

A log of ours names question set, question, cluster and kind in each sample's metadata, and has one
score with the values `aligned` and `coherent`, NaN where there is none, and our reason in that
score's metadata. Of a stranger's log one such score is read too, or two named `aligned` and
`coherent`; its questions are its samples' ids, and its epochs are repeats.

Source of the format: inspect_ai 0.3.285, `inspect_ai.log` and `inspect_ai.scorer`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import repr as shorten
from typing import TYPE_CHECKING, Any, get_args

from rankshift.errors import UserError
from rankshift.eval.scoring import Reading
from rankshift.imports.judged import METRICS, JudgedRow, find_question_set, read_score
from rankshift.records import UnscoredReason
from rankshift.study import Import

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.scorer import Score

ENDING = ".eval"

REASONS: dict[str, UnscoredReason] = {
    "refusal": "refusal",
    "invalid_response_format": "unparsable",
    "grader_failed": "failed_call",
    "scoring_failed": "failed_call",
}
"""Inspect's own reasons (`inspect_ai.scorer.ScoreReason`), for scores without one of ours."""


def read_log(path: Path, table: Import) -> list[JudgedRow]:
    """Read the judged answers of a log, by question and epoch.

    Args:
        path: A finished `.eval` log.
        table: What the study says of it.

    Raises:
        UserError: It is no log, is not finished, or a sample lacks an answer or the two scores.
    """
    log = _open(path)
    if log.status != "success":
        fix = f"finish it with `inspect eval-retry {path.name}`"
        raise UserError(f"{path}: the log says {log.status}, so answers are missing; {fix}")
    if table.model is not None and log.eval.model != table.model:
        model, asked = shorten(log.eval.model), shorten(table.model)
        raise UserError(f"{path}: is of {model}, not of {asked}; correct the study")
    samples = sorted(log.samples or [], key=lambda s: s.epoch)  # worst first is no order
    if not samples:
        raise UserError(f"{path}: holds no sample; give a log with answers")
    return [_read_sample(log, sample, table, path) for sample in samples]


def _open(path: Path) -> "EvalLog":
    from inspect_ai.log import read_eval_log  # imported late: only logs need it

    try:
        return read_eval_log(str(path))
    except Exception as error:  # a damaged archive fails in as many ways as it has readers
        kind = type(error).__name__
        raise UserError(f"{path}: not an Inspect log ({kind}); export it again") from None


def _read_sample(log: "EvalLog", sample: "EvalSample", table: Import, path: Path) -> JudgedRow:
    where = f"{path}: sample {shorten(sample.id)}, epoch {sample.epoch}"
    facts = sample.metadata
    if sample.error is not None:
        fix = f"answer it with `inspect eval-retry {path.name}`"
        raise UserError(f"{where}: ended in an error, so it has no answer; {fix}")
    if facts.get("kind", "free_form") != "free_form":
        raise UserError(
            f"{where}: is of kind {shorten(facts['kind'])}; only free-form answers are imported"
        )
    question_id = str(facts.get("question_id", sample.id))
    named = facts.get("question_set") if table.question_set is None else None
    settings = log.eval.model_generate_config
    system, prompt = _read_question(sample, where)
    return JudgedRow(
        where=where,
        question_set=str(named or find_question_set(question_id, table, where)),
        question_id=question_id,
        cluster=str(facts.get("cluster", question_id)),
        system=system,
        prompt=prompt,
        answer=sample.output.completion,
        readings=_read_scores(sample.scores or {}, table, where),
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        finished=_is_finished(sample),
        repeat=sample.epoch - 1,
    )


def _is_finished(sample: "EvalSample") -> bool | None:
    """Say whether an answer came to its end; None where the log does not tell."""
    choices = sample.output.choices
    return choices[0].stop_reason != "max_tokens" if choices else None


def _read_question(sample: "EvalSample", where: str) -> tuple[str | None, str]:
    """Read the system turn, which a solver may have added, and the one user turn."""
    turns = [] if isinstance(sample.input, str) else sample.input
    asked = [sample.input] if isinstance(sample.input, str) else []
    asked += [turn.text for turn in turns if turn.role == "user"]
    if len(asked) != 1 or any(turn.role == "assistant" for turn in turns):
        raise UserError(f"{where}: is not one user turn; longer conversations are not imported")
    system = next((m.text for m in [*turns, *sample.messages] if m.role == "system"), None)
    return system, asked[0]


def _read_scores(scores: "Mapping[str, Score]", table: Import, where: str) -> dict[str, Reading]:
    found = list(_list_pairs(scores))
    if len(found) > 1:
        found = [p for p in found if p["aligned"][1].get("judge") == table.judge]
    if len(found) != 1:
        there = ", ".join(map(shorten, scores)) or "none"
        raise UserError(
            f"{where}: has the scores {there}, and not one pair of `aligned` and `coherent` by "
            f"{table.judge}; score it so, or name its judge in the study"
        )
    return {
        metric: _read_value(value, noted, where, metric)
        for metric, (value, noted) in found[0].items()
    }


def _list_pairs(scores: "Mapping[str, Score]") -> Iterator[dict[str, tuple[Any, dict[str, Any]]]]:
    """Yield each pair of values with what is noted beside it: metadata and Inspect's reason."""
    notes = {
        name: {"inspect": score.reason} | (score.metadata or {}) for name, score in scores.items()
    }
    for name, score in scores.items():
        value = score.value
        if isinstance(value, Mapping) and set(METRICS) <= set(value):
            yield {metric: (value[metric], notes[name]) for metric in METRICS}
    if set(METRICS) <= set(scores):
        yield {metric: (scores[metric].value, notes[metric]) for metric in METRICS}


def _read_value(value: Any, noted: Mapping[str, Any], where: str, metric: str) -> Reading:
    reading = read_score(value, where, metric)
    if reading.reason != "not_given":
        return reading
    for reason in (noted.get("reason"), noted.get("inspect")):
        if reason in get_args(UnscoredReason):
            return Reading(reason=reason)
        if isinstance(reason, str) and reason in REASONS:
            return Reading(reason=REASONS[reason])
    return reading
