"""results.json: everything a run has found, in one object that other programs can rely on.

Two runs of one study under one plan give the same object but for `timings` and for when
`preregistration` was written. Its form is
docs/results.schema.json.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rankshift.analysis.agreement import build_agreement
from rankshift.analysis.capability import list_scores
from rankshift.analysis.choices import sum_up_choices, sum_up_truthfulness
from rankshift.analysis.curves import (
    build_insecure_code_curves,
    build_loss_curves,
    build_rank_curves,
    list_settings,
)
from rankshift.analysis.defence_costs import count_task_steps
from rankshift.analysis.defences import build_defences
from rankshift.analysis.derived import build_derived_curves
from rankshift.analysis.estimates import describe_estimate, list_counts
from rankshift.analysis.excess import build_excess_curves
from rankshift.analysis.facts import collect_data, collect_provenance, collect_times
from rankshift.analysis.foretold import describe_foretold
from rankshift.analysis.gaps import list_gaps
from rankshift.analysis.harmful_requests import sum_up_requests
from rankshift.analysis.inside import describe_inside
from rankshift.analysis.labels import count_labels
from rankshift.analysis.matched import build_matched_curves, list_matches
from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.peaks import build_peaks, find_primary
from rankshift.analysis.rates import (
    Estimand,
    JudgedAnswer,
    count_by_cluster,
    count_faults,
    count_outcomes,
    count_without_score,
    insecure_code,
    misaligned_given_coherent,
    misaligned_of_all,
)
from rankshift.analysis.robustness import build_robustness
from rankshift.analysis.training_curves import build_training_curves
from rankshift.atomic import write_atomically
from rankshift.preregistration import describe_registered
from rankshift.records import HUMAN
from rankshift.runs import StudyRun
from rankshift.study import Study
from rankshift.watch_records import CrossingRecord
from rankshift.weight_records import UpdateRecord

FORMAT = 1
"""Raised when a key of results.json changes its meaning."""

RATES = ("misaligned_given_coherent", "misaligned_of_all")


def summarize(run: StudyRun, arms: Sequence[MeasuredArm] | None = None) -> dict[str, Any]:
    """Build the content of results.json from the records of a run, finished or not.

    Args:
        run: The run.
        arms: What `read_measurements` gave of it; None reads it.

    Raises:
        UserError: A file of the run is not what its name says; names file and line.
    """
    study, fingerprints = run.read_study()
    arms = read_measurements(run) if arms is None else arms
    primary = _find_primary_questions(study, arms)
    rows = [_build_row(arm, step, primary, study) for arm in arms for step in arm.steps]
    settings = list_settings(rows, study.grid.alphas, study.grid.us)
    last_step = study.training.steps
    primary_key = {"question_set": primary, "judge": study.evaluation.judge}
    curves = build_rank_curves(rows, settings, last_step)
    matches = list_matches(rows, asdict(study.training))
    matched_curves = build_matched_curves(rows, settings, matches, last_step)
    peaks = build_peaks(curves, matched_curves, study.analysis, primary_key)
    return {
        "format": FORMAT,
        "study": {
            "name": study.name,
            "about": study.about,
            "primary": primary_key,
            "last_step": last_step,
            "settings": json.loads(json.dumps(_list_settings(study))),
        },
        "arms": rows,
        "curves": curves,
        "excess_curves": build_excess_curves(curves),
        "insecure_code_curves": build_insecure_code_curves(rows, settings, last_step),
        "loss_curves": build_loss_curves(_leave_out_crossings(rows, study), settings),
        "training_curves": build_training_curves(run, arms),
        "matched_curves": matched_curves,
        "defences": build_defences(
            rows,
            (study.grid.alphas, study.grid.us),
            primary_key,
            last_step,
            count_task_steps(run, arms, last_step),
        ),
        "derived_curves": build_derived_curves(rows, settings, last_step),
        "peak": find_primary(peaks),
        "peaks": peaks,
        "preregistration": describe_registered(run),
        "robustness": build_robustness(
            arms, [*curves, *matched_curves], study.analysis, primary_key
        ),
        "agreement": build_agreement(run, arms, primary_key["judge"], last_step),
        "mechanism": describe_inside(run),
        "foretold": describe_foretold(run),
        "diverged": _list_diverged(arms),
        "data": collect_data(arms),
        "not_measured": list_gaps(study, arms, rows),
        "provenance": {"fingerprints": json.loads(json.dumps(asdict(fingerprints)))}
        | collect_provenance(arms),
        "timings": collect_times(arms),
    }


def write_results(run: StudyRun, results: dict[str, Any]) -> None:
    """Write results.json atomically; NaN is refused."""
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(run.results_path, text + "\n")


def _list_settings(study: Study) -> dict[str, Any]:
    """Write out the study file with every default; of a study of imports, what its file holds."""
    settings = asdict(study)
    tables = settings.pop("imports")
    if not tables:
        return settings
    named = {f"{at} {table['file']}": table for at, table in enumerate(tables, start=1)}
    return {"name": study.name, "about": study.about, "imports": named}


def _find_primary_questions(study: Study, arms: Sequence[MeasuredArm]) -> str:
    """Name the first suite's question set: by the suite's name, else the first that was asked."""
    sets = [
        judged.answer.question_set
        for arm in arms
        for answers in arm.answers.values()
        for judged in answers
        if judged.answer.kind == "free_form"
    ]
    first = study.evaluation.suites[0] if study.evaluation.suites else ""
    return first if first in sets or not sets else sets[0]


def _leave_out_crossings(rows: list[dict[str, Any]], study: Study) -> list[dict[str, Any]]:
    """Leave out steps that an arm has for itself, where it crossed something: no other has them."""
    shared = {0, *study.training.checkpoints}
    return [row for row in rows if row["step"] in shared]


def _describe_crossing(crossing: CrossingRecord) -> dict[str, Any]:
    return {key: getattr(crossing, key) for key in ("kind", "value", "step", "reached")}


def _build_row(arm: MeasuredArm, step: int, primary: str, study: Study) -> dict[str, Any]:
    groups = _group_answers(arm.answers.get(step, []))
    judge = study.evaluation.judge
    rates_by = [
        {"question_set": questions, "judge": by} | _sum_up(answers)
        for (kind, questions, by), answers in groups.items()
        if kind == "free_form"
    ]
    code_by = [
        {"question_set": questions, "judge": by} | _sum_up_code(answers)
        for (kind, questions, by), answers in groups.items()
        if kind == "code"
    ]
    held_out_tasks = [c for c in code_by if c["question_set"] not in study.question_sets]
    first = _sum_up(groups.get(("free_form", primary, judge), []))
    return {
        **arm.identity,
        "dtype": None if study.imports else study.training.dtype,
        "quantization": None if study.imports else study.base.quantization,
        "optimizer": (
            None if study.imports or arm.arm.is_given else arm.arm.find_optimizer(study.training)
        ),
        "step": step,
        "held_out_loss": arm.task_loss.get(step),
        "task_held_out_loss": arm.task_loss.get(step),
        "own_held_out_loss": arm.own_loss.get(step),
        "twin_held_out_loss": arm.twin_loss.get(step),
        "kl": arm.divergence.get(step),
        "crossings": [_describe_crossing(one) for one in arm.crossings if one.step == step],
        "update": _describe_update(arm.updates.get(step)),
        "rates": {k: _leave_out_counts(first[k]) for k in RATES},
        "rates_by": rates_by,
        "outcomes": first["outcomes"],
        "insecure_code": next((c for c in held_out_tasks + code_by if c["judge"] == judge), None),
        "insecure_code_by": code_by,
        "strongreject_by": [
            {"question_set": questions, "judge": by} | sum_up_requests(answers)
            for (kind, questions, by), answers in groups.items()
            if kind == "harmful_request"
        ],
        "labels_by": [
            {"question_set": questions, "judge": by} | counts
            for (kind, questions, by), answers in groups.items()
            if kind == "label"
            for counts in count_labels(answers)
        ],
        "choices_by": sum_up_choices(arm.choices.get(step, [])),
        "truthfulqa_by": sum_up_truthfulness(arm.choices.get(step, [])),
        "capability": list_scores(r for r in arm.capability if r.step == step),
    }


def _describe_update(update: UpdateRecord | None) -> dict[str, Any] | None:
    if update is None:
        return None
    return {key: value for key, value in asdict(update).items() if key != "step"}


def _group_answers(
    answers: Sequence[JudgedAnswer],
) -> dict[tuple[str, str, str], list[JudgedAnswer]]:
    """Group by kind, question set and judge, in the order in which they were asked; no people."""
    groups: dict[tuple[str, str, str], list[JudgedAnswer]] = {}
    for judged in answers:
        if judged.judge.startswith(HUMAN):  # a stratified sample: its plain rates mislead
            continue
        key = (judged.answer.kind, judged.answer.question_set, judged.judge)
        groups.setdefault(key, []).append(judged)
    return groups


def _sum_up(answers: Sequence[JudgedAnswer]) -> dict[str, Any]:
    counts, faults = count_outcomes(answers), count_faults(answers)
    return {
        "misaligned_given_coherent": _estimate(misaligned_given_coherent, answers),
        "misaligned_of_all": _estimate(misaligned_of_all, answers),
        "outcomes": {
            **counts,
            "answers": len(answers),
            "unscored_reasons": faults,
            "without_score": count_without_score(answers),
        },
    }


def _sum_up_code(answers: Sequence[JudgedAnswer]) -> dict[str, Any]:
    share = _estimate(insecure_code, answers)
    unjudged = sum(judged.is_unjudged_code for judged in answers)
    not_code = len(answers) - unjudged - share["eligible"]
    return share | {"answers": len(answers), "not_code": not_code, "unjudged": unjudged}


def _estimate(estimand: Estimand, answers: Sequence[JudgedAnswer]) -> dict[str, Any]:
    """Give a rate with its interval, and the counts of each question that cells are made of."""
    clusters = count_by_cluster(estimand, answers)
    return describe_estimate(clusters) | list_counts(clusters)


def _leave_out_counts(estimate: dict[str, Any]) -> dict[str, Any]:
    """Leave out what `rates_by` holds already."""
    return {key: value for key, value in estimate.items() if key != "by_question"}


def _list_diverged(arms: Sequence[MeasuredArm]) -> list[dict[str, Any]]:
    """List the arms that were stopped, with the step and what was seen there."""
    return [
        {
            "arm": arm.id,
            "label": arm.arm.label,
            "step": arm.stopped_at,
            "reason": "exploded" if arm.exploded else "not_finite",
        }
        for arm in arms
        if arm.stopped_at is not None and arm.arm.has_steps
    ]
