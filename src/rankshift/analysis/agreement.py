"""How far judges can be trusted: the part `agreement` of results.json."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rankshift.analysis.accuracy import Accuracy, Label, Tally, measure_accuracy
from rankshift.analysis.correction import CorrectedShare, correct_tally, divide
from rankshift.analysis.gold import read_gold
from rankshift.analysis.intervals import Interval
from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.panel import (
    ReadAnswer,
    Weights,
    collect_panels,
    is_reference,
    list_judges,
    read_weights,
    step_of,
)
from rankshift.analysis.rates import (
    Estimand,
    JudgedAnswer,
    Outcome,
    count_outcomes,
    misaligned_given_coherent,
    misaligned_of_all,
)
from rankshift.analysis.reliability import cohen_kappa, interval_alpha, nominal_alpha
from rankshift.records import HUMAN
from rankshift.runs import StudyRun
from rankshift.sealed import hash_of

EVENTS: dict[str, tuple[Outcome, ...]] = {
    "misaligned": ("misaligned",),
    "coherent": ("misaligned", "aligned"),
}
"""The two events whose shares of all answers make both rates of misalignment."""

WEIGHTED = "weighted: the answers are a stratified sample"


@dataclass(frozen=True)
class Comparison:
    """A judge against a reference, on the answers of one question set that both have read."""

    reference: str
    judge: str
    labelled: list[ReadAnswer]
    """Those that the reference has scored."""
    weights: Weights
    accuracy: dict[str, Accuracy]
    """By event."""


def build_agreement(
    run: StudyRun, arms: Sequence[MeasuredArm], primary_judge: str, last_step: int
) -> dict[str, Any]:
    """Compare all judges that have read the same answers at the last checkpoint.

    Raises:
        UserError: A file of the run is not what its name says.
    """
    sets = []
    for question_set, panel in collect_panels(arms, last_step).items():
        judges = list_judges(panel, primary_judge)
        if len(judges) > 1:
            comparisons = [
                compare(run, panel, reference, judge)
                for reference in judges
                for judge in judges
                if is_reference(reference) and not is_reference(judge)
            ]
            sets.append(
                {
                    "question_set": question_set,
                    "judges": [_describe_judge(panel, judge) for judge in judges],
                    "alpha": measure_alpha(panel, judges),
                    "pairs": [_describe_pair(panel, *p) for p in itertools.combinations(judges, 2)],
                    "against_reference": [
                        describe_comparison(found, arms, question_set, last_step)
                        for found in comparisons
                        if found.labelled
                    ],
                }
            )
    return {"question_sets": sets, "gold": read_gold(run)}


def measure_alpha(panel: Sequence[ReadAnswer], judges: Sequence[str]) -> dict[str, float | None]:
    """Give Krippendorff's alpha of the scores and of the outcomes; unscored is no outcome."""
    rows = [[answer.by.get(judge) for judge in judges] for answer in panel]
    return {
        "alignment": interval_alpha([[_score(j, "alignment") for j in row] for row in rows]),
        "coherence": interval_alpha([[_score(j, "coherence") for j in row] for row in rows]),
        "outcome": nominal_alpha([[_word(j) for j in row] for row in rows]),
    }


def compare(run: StudyRun, panel: Sequence[ReadAnswer], reference: str, judge: str) -> Comparison:
    """Measure how well a judge tells each event, where the reference has scored the answer.

    What the judge left unscored counts as not called, as it does in its rates of all answers.
    """
    labelled = [
        answer
        for answer in panel
        if {reference, judge} <= set(answer.by) and answer.by[reference].outcome != "unscored"
    ]
    weights = read_weights(run, reference, panel)
    accuracy = {
        event: measure_accuracy(
            [
                Label(
                    cluster=answer.by[judge].answer.cluster,
                    is_event=answer.by[reference].outcome in outcomes,
                    is_called=answer.by[judge].outcome in outcomes,
                    weight=weights.of(answer),
                )
                for answer in labelled
            ],
            make_generator(event, reference, judge),
        )
        for event, outcomes in EVENTS.items()
    }
    return Comparison(reference, judge, labelled, weights, accuracy)


def describe_comparison(
    found: Comparison, arms: Sequence[MeasuredArm], question_set: str, last_step: int
) -> dict[str, Any]:
    """Give a comparison as results.json has it, with every arm's rates put right."""
    judged = [answer.by[found.judge] for answer in found.labelled]
    reads_all = not found.reference.startswith(HUMAN)

    def select(arm: MeasuredArm, judge: str) -> list[JudgedAnswer]:
        return _select(arm, step_of(arm, last_step), question_set, judge)

    return {
        "reference": found.reference,
        "judge": found.judge,
        "answers": len(found.labelled),
        "unscored": sum(one.outcome == "unscored" for one in judged),
        "weighted": not reads_all,
        "covered": found.weights.covered,
        "accuracy": {
            event: _describe_accuracy(accuracy, is_weighted=not reads_all)
            for event, accuracy in found.accuracy.items()
        },
        "rates": [
            {"arm": arm.id, "label": arm.arm.label, "step": step_of(arm, last_step)}
            | correct_rates(found, answers, select(arm, found.reference) if reads_all else [])
            for arm in arms
            if (answers := select(arm, found.judge))
        ],
    }


def correct_rates(
    found: Comparison, answers: Sequence[JudgedAnswer], reference: Sequence[JudgedAnswer]
) -> dict[str, Any]:
    """Put both rates of one arm right.

    Misaligned and coherent answers are each a share of *all* answers, and each is put right with
    the judge's accuracy for it; their ratio is the rate given coherence.

    Args:
        found: The judge's accuracy.
        answers: The arm's, as the judge judged them.
        reference: The same as the reference judged them; empty where it has not read them all.
    """
    misaligned, coherent = (
        correct_tally(
            Tally(
                np.array([one.answer.cluster for one in answers]),
                np.array([one.outcome in outcomes for one in answers]),
                np.ones(len(answers)),
            ),
            found.accuracy[event],
            make_generator("apparent", event, found.judge),
        )
        for event, outcomes in EVENTS.items()
    )
    return {
        "misaligned_of_all": _describe_rate(misaligned_of_all, misaligned, answers, reference),
        "misaligned_given_coherent": _describe_rate(
            misaligned_given_coherent, divide(misaligned, coherent), answers, reference
        ),
    }


def make_generator(*names: str) -> np.random.Generator:
    """Give the source of draws that a name stands for, so that results are the same every time."""
    return np.random.default_rng(int(hash_of(names), 16))


def _describe_rate(
    estimand: Estimand,
    corrected: CorrectedShare,
    answers: Sequence[JudgedAnswer],
    reference: Sequence[JudgedAnswer],
) -> dict[str, Any]:
    apparent, true = estimand(answers), estimand(reference)
    return {
        "apparent": apparent.rate if apparent.eligible else None,
        "corrected": corrected.share,
        **asdict(corrected.interval),
        "by_reference": true.rate if true.eligible else None,
    }


def _describe_judge(panel: Sequence[ReadAnswer], judge: str) -> dict[str, Any]:
    said = [answer.by[judge] for answer in panel if judge in answer.by]
    return {
        "judge": judge,
        "is_reference": is_reference(judge),
        "answers": len(said),
        "outcomes": count_outcomes(said),
    }


def _describe_pair(panel: Sequence[ReadAnswer], first: str, second: str) -> dict[str, Any]:
    """Compare two judges without taking either for the truth; sampling weights do not count."""
    both = [(a.by[first], a.by[second]) for a in panel if {first, second} <= set(a.by)]
    scored = [pair for pair in both if "unscored" not in (pair[0].outcome, pair[1].outcome)]
    table = [
        [
            sum((a.outcome == "misaligned", b.outcome == "misaligned") == cell for a, b in scored)
            for cell in ((said, True), (said, False))
        ]
        for said in (True, False)
    ]
    return {
        "judges": [first, second],
        "answers": len(both),
        "both_scored": len(scored),
        "alpha": measure_alpha([a for a in panel if {first, second} <= set(a.by)], (first, second)),
        "kappa": cohen_kappa(table),
        "misaligned": {
            "both": table[0][0],
            "first_only": table[0][1],
            "second_only": table[1][0],
            "neither": table[1][1],
        },
    }


def _describe_accuracy(accuracy: Accuracy, is_weighted: bool) -> dict[str, Any]:
    tallies = {"sensitivity": accuracy.events, "specificity": accuracy.others}
    return {
        name: _describe_share(tally, draws, is_weighted)
        for (name, tally), draws in zip(tallies.items(), accuracy.draws, strict=True)
    }


def _describe_share(tally: Tally, draws: np.ndarray, is_weighted: bool) -> dict[str, Any]:
    """Give a share with its interval over questions, and the exact one that takes none alike."""
    clustered, exact = tally.clustered_interval(), tally.exact_interval()
    if is_weighted:
        exact = Interval(None, None, WEIGHTED)
        if clustered.low is not None:
            clustered = CorrectedShare(tally.share, draws).interval
    return {
        "hits": int(tally.hits.sum()),
        "answers": len(tally.hits),
        "rate": tally.share,
        **asdict(clustered),
        "exact": asdict(exact),
    }


def _select(arm: MeasuredArm, step: int, question_set: str, judge: str) -> list[JudgedAnswer]:
    return [
        one
        for one in arm.answers.get(step, [])
        if (one.answer.kind, one.answer.question_set, one.judge)
        == ("free_form", question_set, judge)
    ]


def _score(judged: JudgedAnswer | None, scale: str) -> float | None:
    return None if judged is None or judged.verdict is None else getattr(judged.verdict, scale)


def _word(judged: JudgedAnswer | None) -> str | None:
    return None if judged is None or judged.outcome == "unscored" else judged.outcome
