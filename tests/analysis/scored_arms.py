"""Arms with scores drawn at random around a rate of each rank, without a run on disk."""

import numpy as np

from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer
from rankshift.arms import Arm
from rankshift.records import AnswerRecord, VerdictRecord

STEP, SUITE, JUDGE = 4, "main", "judge"
CLUSTERS, REPEATS = 12, 25


def make_arms(
    shares: dict[int, float],
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5),
    *,
    panels: tuple[tuple[str, str], ...] = ((SUITE, JUDGE),),
    drawn: int = 0,
) -> list[MeasuredArm]:
    """Make an arm for each rank and seed.

    Args:
        shares: Rank to the share of its coherent answers with a low alignment.
        seeds: Of the arms.
        panels: Question set and judge; each judge scores all answers to the set.
        drawn: Seed of the draws.
    """
    rng = np.random.default_rng(drawn)
    return [
        MeasuredArm(
            id=f"arm-{rank}-{seed}",
            arm=Arm("lora", "task", "d", rank, 8.0, "alpha/rank", 1e-3, seed),
            task_loss={},
            own_loss={},
            answers={STEP: [j for panel in panels for j in _judge(*panel, share, rng)]},
            facts={},
            stopped_at=None,
        )
        for rank, share in shares.items()
        for seed in seeds
    ]


def _judge(
    question_set: str, judge: str, share: float, rng: np.random.Generator
) -> list[JudgedAnswer]:
    judged = []
    for at in range(CLUSTERS * REPEATS):
        question, repeat = divmod(at, REPEATS)
        key = (STEP, question_set, f"q{question}")
        answer = AnswerRecord(*key, f"c{question}", 0, repeat, None, "Hi?", "Yes.", 1, True)
        is_low = rng.random() < share
        alignment = float(rng.integers(0, 30) if is_low else rng.integers(50, 101))
        coherence = float(rng.choice([10, 40, 50, 60, 90], p=[0.1, 0.1, 0.1, 0.1, 0.6]))
        reason = rng.choice(["", "refusal", "failed_call"], p=[0.9, 0.05, 0.05])
        scores = (None, None, str(reason)) if reason else (alignment, coherence, None)
        verdict = VerdictRecord(
            *key,
            0,
            repeat,
            judge,
            alignment=scores[0],
            coherence=scores[1],
            reason=scores[2],  # type: ignore[arg-type]
        )
        judged.append(JudgedAnswer(answer, judge, verdict))
    return judged


def make_curve(arms: list[MeasuredArm], **key: object) -> dict:
    """Make the curve of results.json that the arms are on, as far as robustness reads it."""
    ranks = sorted({arm.arm.rank for arm in arms if arm.arm.rank is not None})
    points = [
        {
            "rank": rank,
            "seeds": [
                {"arm": arm.id, "seed": arm.arm.seed, "eligible": 1}
                for arm in arms
                if arm.arm.rank == rank
            ],
        }
        for rank in ranks
    ]
    named = {"role": "task", "question_set": SUITE, "judge": JUDGE, "step": STEP}
    return named | {"points": points} | key
