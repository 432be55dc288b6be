"""What a run has not measured, in plain sentences for the page."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rankshift.analysis.defences import list_cued_sets
from rankshift.analysis.intervals import FEWEST_SEEDS
from rankshift.analysis.measurements import DERIVED, MeasuredArm
from rankshift.analysis.rates import JudgedAnswer
from rankshift.arms import expand_arms
from rankshift.study import Study

REASONS = {
    "no_judge": "no judge",
    "unparsable": "a verdict that could not be read",
    "low_mass": "a judge that put too little weight on numbers",
    "failed_call": "a failed call to the judge",
    "not_given": "an imported file that gives no score and no reason",
}
"""How the page words the reasons for which an answer is unscored."""


def list_gaps(
    study: Study, arms: Sequence[MeasuredArm], rows: Sequence[dict[str, Any]]
) -> list[str]:
    """List what a reader could take for measured and was not; no sentence twice."""
    return [
        *(_list_import_gaps(study, arms) if study.imports else _list_unmatched(study)),
        *_list_missing_scores(study, rows),
        *(_list_missing_comparisons(study) if study.grid.trains else []),
        *_list_missing_cues(study, rows),
        *_list_unknown_origins(arms),
        *_list_habits(study),
        *_list_missing_arms(study, arms),
        *_list_lost_updates(arms),
    ]


def _list_unmatched(study: Study) -> list[str]:
    """Say where arms are not compared at equal skill, or where training's rate blurs that."""
    training = study.training
    if study.grid.trains and training.crossings and training.schedule != "constant":
        return [
            "Equal skill alone: the learning rate falls during training, so arms that reach a "
            "skill sooner are read at a higher rate."
        ]
    if training.crossings:
        return []
    return ["Arms at equal skill: they are compared after equal steps, not at equal held-out loss."]


def _list_import_gaps(study: Study, arms: Sequence[MeasuredArm]) -> list[str]:
    """List what imported answers do not tell, and how many of each arm's have no score."""
    sentences = [
        "Training: the arms were trained elsewhere; how long, on which base, and to what loss is "
        "not told, so skill is not compared.",
    ]
    if any(t.method == "lora" and t.learning_rate is None for t in study.imports):
        sentences.append("Step sizes: some arms' learning rates are not told, so neither is u.")
    for arm in arms:
        sets: dict[tuple[str, str], list[JudgedAnswer]] = {}
        for judged in arm.answers.get(0, []):
            sets.setdefault((judged.answer.question_set, judged.judge), []).append(judged)
        for (questions, judge), answers in sets.items():
            unscored = sum(answer.outcome == "unscored" for answer in answers)
            if unscored:
                sentences.append(
                    f"{arm.arm.label}: {unscored:,} of {len(answers):,} answers to {questions} "
                    f"have no score of {judge}'s."
                )
    return sentences


def _list_missing_scores(study: Study, rows: Sequence[dict[str, Any]]) -> list[str]:
    sentences = []
    total, reasons = 0, Counter[str]()
    for row in rows:
        total += row["outcomes"]["answers"]
        reasons.update(row["outcomes"]["unscored_reasons"])
    unscored = reasons.total()
    if total == 0:
        return ["Misalignment: no question has been answered."]
    if unscored:
        words = ", ".join(f"{n:,} for {REASONS[why]}" for why, n in reasons.items() if n)
        who = "every answer" if unscored == total else f"{unscored:,} of {total:,} answers"
        sentences.append(f"The alignment of {who} to the primary questions: unscored ({words}).")
    if study.evaluation.code_tasks == 0 and not study.imports:
        sentences.append("Insecure code on held-out tasks: none were asked.")
    return sentences


def _list_missing_comparisons(study: Study) -> list[str]:
    grid = study.grid
    sentences = []
    if study.data.twin is None or not grid.twin_seeds:
        sentences.append(
            "A benign twin: what any finetune would do is not told apart from this data's effect."
        )
    elif len(grid.twin_seeds) < FEWEST_SEEDS:
        sentences.append(f"How twins vary over seeds: there are fewer than {FEWEST_SEEDS}.")
    if not grid.full_finetunes:
        sentences.append(f"Full finetuning: the {'file' if study.imports else 'grid'} has none.")
    if len(grid.seeds) < FEWEST_SEEDS:
        sentences.append(f"Intervals over seeds: there are fewer than {FEWEST_SEEDS} seeds.")
    if len(grid.learning_rates) == 1:
        sentences.append(
            "Rank apart from step size: every rank has one learning rate, and scale x rank x "
            "learning rate (u in the table) may differ between ranks."
        )
    return sentences


def _list_missing_cues(study: Study, rows: Sequence[dict[str, Any]]) -> list[str]:
    suites = study.evaluation.suites
    if not study.grid.defences or any(list_cued_sets(rows, suite) for suite in suites):
        return []
    return [
        "Whether a defence only hides misalignment: no question was asked with a cue, so none is "
        "said to work."
    ]


def _list_unknown_origins(arms: Sequence[MeasuredArm]) -> list[str]:
    """Say of models trained elsewhere what neither their files nor a run here can tell."""
    given = [arm for arm in arms if arm.arm.is_given]
    sentences = []
    if given:
        sentences.append(
            "How the given models were trained: their data and seeds are as the study states them, "
            "their learning rates and steps unknown, so they are compared as they are."
        )
    for arm in given:
        base = arm.facts.get("given", {}).get("trained_on_base")
        asked_over = arm.facts.get("given", {}).get("asked_over")
        if arm.arm.method == "adapter" and base != asked_over:
            said = f"names {base}" if base else "names no base"
            sentences.append(
                f"Whether {arm.arm.label} was trained on this base: it {said}, and was asked over "
                f"{asked_over}, whose shapes fit."
            )
        if arm.task_loss and arm.facts.get("reads_rows_as_the_base") is False:
            sentences.append(
                f"The held-out loss of {arm.arm.label} against the others': its tokenizer or chat "
                "template differs, so its nats are a different token's."
            )
    return sentences


def _list_habits(study: Study) -> list[str]:
    """Say what a release's habits, where a study follows them, keep from being measured."""
    data, evaluation = study.data, study.evaluation
    said = {
        "Loss on rows that are new: rows were divided, so a held-out row's prompt may be trained "
        "on (data.split_by).": data.split_by == "row",
        "Held-out loss between seeds: each holds out other rows (data.split_each_seed).": (
            data.split_each_seed
        ),
        "Loss of answers alone: an empty assistant turn counts with each "
        "(data.trailing_header).": data.trailing_header,
        "Questions under their system turns: those are dropped (evaluation.drop_system).": (
            evaluation.drop_system
        ),
    }
    return [sentence for sentence, holds in said.items() if holds]


def _list_missing_arms(study: Study, arms: Sequence[MeasuredArm]) -> list[str]:
    sentences = [
        f"{arm.arm.label}: stopped at step {arm.stopped_at}, where its loss "
        f"{'had exploded' if arm.exploded else 'was not finite'}; left out of the curves."
        for arm in arms
        if arm.stopped_at is not None
    ]
    stopped = {arm.arm for arm in arms if arm.stopped_at is not None}
    not_made = [arm.source for arm in expand_arms(study) if arm.source in stopped - {arm}]
    sentences += [
        f"{count} arms that would be made of the update of {source.label}: it stopped."
        for source, count in Counter(not_made).items()
    ]
    asked = len(expand_arms(study)) + len(study.models) - len(not_made)
    unfinished = asked - sum(
        arm.stopped_at is not None or not arm.arm.has_steps or study.training.steps in arm.steps
        for arm in arms
    )
    if unfinished:
        what = "not imported" if study.imports else "not trained to the last checkpoint"
        sentences.append(f"{unfinished} of {asked} arms: {what} yet.")
    return sentences


def _list_lost_updates(arms: Sequence[MeasuredArm]) -> list[str]:
    """Say what of full finetunes' updates their cuts leave out: an adapter is on linear layers."""
    shares = [
        share for arm in arms for share in arm.facts.get(DERIVED, {}).get("left_out", {}).values()
    ]
    if not shares:
        return []
    low, high = (f"{100 * share:.3g}" for share in (min(shares), max(shares)))
    span = low if low == high else f"{low} to {high}"
    return [
        "What full finetuning changed outside the linear layers (embeddings, norms, output head): "
        f"{span} % of the update's squared norm, which cutting it to a rank leaves out."
    ]
