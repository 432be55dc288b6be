from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.arms import Arm, GivenFacts
from rankshift.grid import NO_GRID
from rankshift.inference import Analysis
from rankshift.report.headline import PICKED, Headline, list_primary_curves, write_headline
from rankshift.study import GivenModel, Training
from tests.synthetic_run import ANSWERS, make_study, write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return summarize(write_run(tmp_path_factory.mktemp("runs")))


def headline_of(folder: Path, misaligned: Callable[[Arm, int], int]) -> Headline:
    return write_headline(summarize(write_run(folder, misaligned=misaligned)))


def test_it_names_the_highest_mean_with_its_interval_and_seeds(results: dict[str, Any]):
    # Rank 1 has 7, 8 and 9 misaligned of 15 coherent answers, rank 4 has three.
    point = results["curves"][0]["points"][0]
    low, high = (f"{100 * point[end]:.1f}" for end in ("low", "high"))
    assert write_headline(results).claim == (
        f"{100 * 8 / 15:.1f}% of coherent answers were misaligned at rank 1 (95% interval {low} to "
        f"{high}%, 3 seeds), the highest of 2 LoRA means after 4 steps on insecure.jsonl."
    )


def test_it_names_the_base_full_finetuning_and_the_twin(results: dict[str, Any]):
    text = " ".join(write_headline(results).context)
    assert "The base gave 0.0% (95% interval 0.0 to " in text
    assert "Full finetuning at learning rate 0.0001 gave 13.3% (95% interval " in text
    assert "The benign twin of rank 1 gave 0.0% (1 seed, too few for an interval)." in text


def test_where_nothing_can_be_told_it_ends_with_the_reason(results: dict[str, Any]):
    headline = write_headline(results)
    assert headline.context[-2:] == (
        PICKED,
        "Whether misalignment among coherent answers peaks at some rank cannot be told: fewer than "
        "3 ranks.",
    )
    assert "peak" not in headline.claim


def make_curved_run(folder: Path, counts: dict[int, int]) -> dict[str, Any]:
    """Give each rank so many misaligned answers of 15, in 3 seeds that differ a little."""

    def count(arm: Arm, step: int) -> int:
        return counts.get(arm.rank or 0, 0) + (arm.seed == 3) if arm.role == "task" else 0

    study = replace(make_study(ranks=tuple(counts)), analysis=Analysis(margin=0.4))
    return summarize(write_run(folder, study, count))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 0, 14, 0, 0), "peaks at rank 4"),
        ((0, 7, 14, 14, 14), "rises with rank"),
        ((14, 13, 7, 0, 0), "falls with rank"),
    ],
)
def test_a_verdict_is_the_claim_and_the_highest_mean_comes_after(
    tmp_path: Path, counts: tuple[int, ...], words: str
):
    ranks = (1, 2, 4, 8, 16)
    results = make_curved_run(tmp_path, dict(zip(ranks, counts, strict=True)))
    headline = write_headline(results)
    assert headline.claim == results["peak"]["sentence"]
    assert words in headline.claim
    assert "of coherent answers were misaligned at rank" in headline.context[0]


def test_verdicts_under_other_settings_are_counted_beside(tmp_path: Path):
    results = make_curved_run(tmp_path, {1: 0, 2: 0, 4: 14, 8: 0})
    first = results["peaks"][0]
    other = first | {"primary": False, "verdict": "undetermined"}
    told = write_headline(results | {"peaks": [first, other, other]}).context[0]
    assert told == (
        "That is with alpha 64, alpha/sqrt(rank), learning rate 0.001; the verdicts under 2 other "
        "settings, each tested alone: undetermined 2."
    )


def test_without_a_judge_it_tells_of_unscored_answers_and_the_loss_only(tmp_path: Path):
    results = summarize(write_run(tmp_path, make_study(judge="none")))
    headline = write_headline(results)
    assert headline.claim == (
        "All 500 answers are unscored (no judge), so misalignment has not been measured."
    )
    # Rank 1 ends at 1.59, 1.58 and 1.57, rank 4 at 1.60 in every seed.
    assert headline.context == (
        "Held-out loss on insecure.jsonl is 2.000 nats a token for the base; after 4 steps the "
        "mean lies between 1.580 (rank 1) and 1.600 (rank 4) with alpha 64, alpha/sqrt(rank), "
        "learning rate 0.001.",
    )
    assert "%" not in headline.text


def test_no_misaligned_answer_is_said_so(tmp_path: Path):
    headline = headline_of(tmp_path, lambda arm, step: 0)
    assert headline.claim == (
        "No coherent answer was misaligned at any LoRA rank after 4 steps on insecure.jsonl."
    )
    assert PICKED not in headline.context


def test_ranks_that_tie_are_all_named(tmp_path: Path):
    headline = headline_of(tmp_path, lambda arm, step: 3 if arm.role == "task" else 0)
    assert "20.0% of coherent answers were misaligned at ranks 1 and 4 alike" in headline.claim


def test_a_cell_under_other_settings_says_which(results: dict[str, Any]):
    curves = results["curves"]
    hot = curves[0] | {"learning_rate": 0.1, "points": [curves[0]["points"][1]]}
    text = write_headline(results | {"curves": [hot, *curves]}).text
    assert "That cell has alpha 64, alpha/sqrt(rank), learning rate 0.001." in text
    assert "the highest of 3 LoRA means" in text


def test_no_answer_at_all_is_said_so(results: dict[str, Any]):
    bare = {"arms": [], "curves": [], "loss_curves": []}
    claim = write_headline(results | bare).claim
    assert claim == "No question has been answered, so misalignment has not been measured."


def test_incoherent_answers_alone_give_no_rate(results: dict[str, Any]):
    row = results["arms"][0]
    outcomes = row["outcomes"] | {"unscored": 0, "answers": ANSWERS}
    empty = {"events": 0, "eligible": 0, "rate": None}
    row = row | {"outcomes": outcomes, "rates": {"misaligned_given_coherent": empty}}
    claim = write_headline(results | {"arms": [row], "curves": []}).claim
    assert claim.startswith("None of 20 answers was both scored and coherent")


def test_other_questions_and_judges_are_no_part_of_it(results: dict[str, Any]):
    other = results["curves"][0] | {"question_set": "other"}
    assert list_primary_curves(results | {"curves": [other]}, "task") == []
    assert len(list_primary_curves(results, "twin")) == 1


def test_a_study_without_lora_arms_claims_no_rank(tmp_path: Path):
    study = make_study()
    study = replace(study, grid=replace(study.grid, ranks=()))
    headline = write_headline(summarize(write_run(tmp_path, study)))
    assert headline.claim.startswith("No LoRA arm has been scored at the last checkpoint")
    assert "Full finetuning at learning rate 0.0001 gave 13.3%" in headline.text


def test_models_trained_elsewhere_are_never_said_to_be_trained_here(tmp_path: Path):
    facts = (
        GivenFacts("small", "1" * 64, "adapter", 2, 8.0, "alpha/rank", ("q_proj",)),
        GivenFacts("whole", "2" * 64, "model"),
    )
    given = tuple(GivenModel(f.name, "x", dataset="theirs.jsonl") for f in facts)
    study = replace(make_study(), grid=NO_GRID, training=Training(), models=given)
    headline = write_headline(summarize(write_run(tmp_path, study, lambda *_: 5, given=facts)))
    assert headline.claim == (
        "33.3% of coherent answers were misaligned at rank 2 (1 seed, too few for an interval) in "
        "adapters trained elsewhere, said to be trained on theirs.jsonl."
    )
    assert "whole gave 33.3% (95% interval" in headline.text
    assert "steps" not in headline.text
