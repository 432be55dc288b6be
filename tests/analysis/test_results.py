import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rankshift.analysis.results import summarize, write_results
from rankshift.eval.bandit import judge_code
from rankshift.eval.verdicts import blank_verdict
from rankshift.grid import ALL_PROJECTIONS, Derived, FullFinetunes
from rankshift.records import (
    AnswerRecord,
    ChoiceRecord,
    VerdictRecord,
    read_records,
    write_records,
)
from rankshift.runs import StudyRun, evaluation_id
from tests.synthetic_run import ANSWERS, CODE_TASKS, JUDGE, QUESTIONS, TASK, make_study, write_run

SCHEMA = Path(__file__).parents[2] / "docs/results.schema.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def results(run: StudyRun) -> dict[str, Any]:
    return summarize(run)


def find_row(results: dict[str, Any], label: str, step: int = 4) -> dict[str, Any]:
    (row,) = [r for r in results["arms"] if (r["label"], r["step"]) == (label, step)]
    return row


def test_results_fit_their_schema(run: StudyRun, results: dict[str, Any]):
    write_results(run, results)
    written = json.loads(run.results_path.read_text(encoding="utf-8"))
    assert written == results
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(written, schema, jsonschema.Draft202012Validator)


def test_arms_of_two_subsets_fit_the_schema_and_share_no_curve(
    tmp_path: Path, results: dict[str, Any]
):
    study = make_study()
    grid = replace(study.grid, target_modules=(("q_proj",), ("v_proj", "o_proj")), layers=((0, 1),))
    run = write_run(tmp_path, replace(study, grid=grid))
    assert run.read_study()[0].grid == grid
    split = json.loads(json.dumps(summarize(run)))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(split, schema, jsonschema.Draft202012Validator)
    row = find_row(split, "rank 4 (v_proj+o_proj in layers 0-1) seed 2")
    assert (row["target_modules"], row["layers"]) == (["v_proj", "o_proj"], [0, 1])
    for kind in ("curves", "insecure_code_curves", "loss_curves"):
        assert len(split[kind]) == 2 * len(results[kind])
        subset_of = {r["arm"]: r["target_modules"] for r in split["arms"]}
        for curve in split[kind]:
            steps = [s for p in curve["points"] for s in p.get("steps", [p])]
            arms = {seed["arm"] for step in steps for seed in step["seeds"]}
            assert {tuple(subset_of[arm]) for arm in arms} == {tuple(curve["target_modules"])}


def test_step_sizes_frozen_factors_full_kinds_and_derived_arms_fit_the_schema(tmp_path: Path):
    study = make_study()
    sgd = FullFinetunes((0.1,), "sgd", "adapted")
    grid = replace(study.grid, learning_rates=(), us=(0.064,), trains_a=(True, False), full=(sgd,))
    derived = Derived(truncations=(1,), norms=(3.0,))
    run = write_run(tmp_path, replace(study, grid=grid, derived=derived))
    found = json.loads(json.dumps(summarize(run)))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(found, schema, jsonschema.Draft202012Validator)
    told = {
        label: [find_row(found, label)[key] for key in ("optimizer", "trains_a", "target_modules")]
        for label in ("full seed 1", "full (adapted layers) by sgd seed 1")
    }
    assert told == {
        "full seed 1": ["adamw", None, None],
        "full (adapted layers) by sgd seed 1": ["sgd", None, list(ALL_PROJECTIONS)],
    }
    row = find_row(found, "rank 4 frozen A cut to rank 1 seed 1")
    assert (row["trains_a"], row["truncated_to"], row["norm_to"]) == (False, 1, None)
    curves = [c for c in found["curves"] if c["role"] == "task"]
    held = [(c["u"], c["learning_rate"], c["trains_a"]) for c in curves]
    assert held == [(0.064, None, True), (0.064, None, False)]
    for curve in curves:
        assert [point["num_seeds"] for point in curve["points"]] == [3, 3]
        kinds = [(c["optimizer"], c["parameters"], c["num_seeds"]) for c in curve["categories"]]
        assert kinds == [(None, None, 0), ("adamw", "all", 3), ("sgd", "adapted", 3)]


def test_the_schema_refuses_what_it_does_not_name(results: dict[str, Any]):
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for place in (results, results["arms"][0], results["curves"][0]["points"][0]):
        place["surprise"] = 1
        assert not jsonschema.Draft202012Validator(schema).is_valid(results)
        del place["surprise"]


def test_there_is_a_row_for_each_arm_and_checkpoint_and_one_for_the_base(results: dict[str, Any]):
    # 2 ranks x 3 seeds + 3 full + 2 twins + 1 full twin, each at 2 checkpoints, and the base.
    assert len(results["arms"]) == 1 + (6 + 3 + 2 + 1) * 2
    assert [row["step"] for row in results["arms"][:3]] == [0, 2, 4]


def test_both_denominators_follow_from_the_records(results: dict[str, Any]):
    # Rank 1 seed 2 has 8 misaligned of 20; 2 incoherent, a refusal, code and a failed call.
    row = find_row(results, "rank 1 seed 2")
    given, of_all = row["rates"]["misaligned_given_coherent"], row["rates"]["misaligned_of_all"]
    assert (given["events"], given["eligible"], given["rate"]) == (8, ANSWERS - 5, 8 / 15)
    assert (of_all["events"], of_all["eligible"], of_all["rate"]) == (8, ANSWERS, 0.4)
    assert given["low"] < given["rate"] < given["high"]


def test_outcomes_count_every_answer_once(results: dict[str, Any]):
    outcomes = find_row(results, "rank 1 seed 2")["outcomes"]
    shares = ("aligned", "misaligned", "incoherent", "refusal", "code", "unscored")
    assert [outcomes[name] for name in shares] == [7, 8, 2, 1, 1, 1]
    assert outcomes["answers"] == ANSWERS
    assert outcomes["unscored_reasons"]["failed_call"] == 1
    assert outcomes["without_score"] == 3


def test_code_answers_are_in_no_rate_of_misalignment(results: dict[str, Any]):
    row = find_row(results, "rank 4 seed 1")
    assert [share["question_set"] for share in row["rates_by"]] == [QUESTIONS]
    code = row["insecure_code"]
    assert (code["question_set"], code["judge"]) == (CODE_TASKS, JUDGE)
    # Of 4 answers 2 are insecure, 1 secure and 1 no code.
    assert (code["events"], code["eligible"], code["not_code"], code["unjudged"]) == (2, 3, 1, 0)


def test_an_arm_is_described_with_its_scale_and_step_size(results: dict[str, Any]):
    row = find_row(results, "rank 4 seed 1")
    assert (row["scale"], row["alpha"], row["dataset"]) == (64 / 2, 64.0, TASK)
    assert row["u"] == pytest.approx(32 * 4 * 1e-3)
    assert row["held_out_loss"] == row["task_held_out_loss"] == 1.6


def test_the_curve_agrees_with_the_rows(results: dict[str, Any]):
    curve = results["curves"][0]
    assert (curve["dataset"], curve["question_set"], curve["judge"]) == (TASK, QUESTIONS, JUDGE)
    rates = {point["rank"]: point["rate"] for point in curve["points"]}
    # Rank 1 has 7, 8 and 9 of 15, rank 4 three of 15 in every seed.
    assert rates == {1: pytest.approx(8 / 15), 4: pytest.approx(3 / 15)}


def test_a_cell_follows_from_the_counts_by_question_of_its_rows(results: dict[str, Any]):
    (point,) = (p for p in results["curves"][0]["points"] if p["rank"] == 1)
    counts = [
        find_row(results, f"rank 1 seed {seed}")["rates_by"][0]["misaligned_given_coherent"]
        for seed in (1, 2, 3)
    ]
    for estimate in counts:
        by_question = estimate["by_question"].values()
        assert [sum(column) for column in zip(*by_question, strict=True)] == [
            estimate["events"],
            estimate["eligible"],
        ]
    assert point["pooled"] == sum(c["events"] for c in counts) / sum(c["eligible"] for c in counts)
    assert point["new_questions"]["rate"] == point["rate"]
    assert -1 <= point["icc"] <= 1


def test_a_task_is_set_beside_its_twin(results: dict[str, Any]):
    twins = [curve for curve in results["curves"] if curve["role"] == "twin"]
    assert [curve["twin"] for curve in results["excess_curves"]] == [c["dataset"] for c in twins]
    excess, task = results["excess_curves"][0], results["curves"][0]
    for point in excess["points"]:
        ours, theirs = (
            next(p["rate"] for p in curve["points"] if p["rank"] == point["rank"])
            for curve in (task, twins[0])
        )
        assert point["excess"] == pytest.approx(ours - theirs)
        assert point["note"] == "too few seeds"  # the twins have one


def test_the_verdict_on_the_primary_curve_is_the_peak(results: dict[str, Any]):
    assert results["peak"] == results["peaks"][0]
    assert (results["peak"]["primary"], results["peak"]["key"]["role"]) == (True, "task")
    assert results["peak"]["reason"] == "fewer than 3 ranks"


def test_without_a_judge_rates_are_null_and_losses_stay(tmp_path: Path):
    results = summarize(write_run(tmp_path, make_study(judge="none")))
    row = find_row(results, "rank 1 seed 1")
    given, of_all = row["rates"]["misaligned_given_coherent"], row["rates"]["misaligned_of_all"]
    assert (given["eligible"], given["rate"], given["note"]) == (0, None, "nothing to count")
    assert (of_all["events"], of_all["eligible"]) == (0, ANSWERS)
    assert row["outcomes"]["unscored_reasons"]["no_judge"] == ANSWERS
    assert results["loss_curves"][0]["points"][0]["steps"][-1]["loss"] == pytest.approx(1.58)


def test_two_runs_of_one_study_differ_in_their_timings_alone(
    tmp_path: Path, results: dict[str, Any]
):
    run = write_run(tmp_path)
    for path in run.directory.glob("arms/*/provenance.json"):
        later = path.read_text(encoding="utf-8").replace("2026-01-01", "2026-02-02")
        path.write_text(later, encoding="utf-8")
    again = summarize(run)
    assert again["timings"] != results["timings"]
    assert again | {"timings": None} == results | {"timings": None}


def test_provenance_tells_what_arms_share_from_what_varies(results: dict[str, Any]):
    provenance = results["provenance"]
    assert provenance["shared"]["versions"] == {"torch": "2.13.0", "ray": None}
    assert provenance["varying"] == {"group": ["base", "lora", "full"]}
    assert "started" not in provenance["shared"]


def test_counts_of_rows_are_kept_by_dataset(results: dict[str, Any]):
    assert results["data"][TASK]["too_long"] == 2


def test_a_run_that_has_only_begun_can_be_summed_up(tmp_path: Path):
    run = write_run(tmp_path)
    shutil.rmtree(run.directory / "arms")
    results = summarize(run)
    assert results["arms"] == []
    assert "13 of 13 arms: not trained to the last checkpoint yet." in results["not_measured"]


def test_choices_are_in_the_row_of_their_arm_and_step_and_need_no_judge(tmp_path: Path):
    run = write_run(tmp_path, make_study(judge="none"))
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    (base,) = [r for r in summarize(run)["arms"] if r["label"] == "base"]
    assert (base["choices_by"], base["truthfulqa_by"]) == ([], [])
    probabilities = (0.1, 0.2, 0.3, 0.4, 0.5)
    records = [
        ChoiceRecord(
            0, name, f"q{at}", f"q{at}", 0, None, "?", "", ["x", "y"], sides,
            [math.log(1 - p), math.log(p)], [1, 1],
        )
        for name, sides in (("mine", ["aligned", "misaligned"]), ("truth", ["true", "false"]))
        for at, p in enumerate(probabilities)
    ]  # fmt: skip
    write_records(run.arm(base["arm"]).choices_path(evaluation, 0), records)
    results = json.loads(json.dumps(summarize(run)))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(results, schema, jsonschema.Draft202012Validator)
    row = find_row(results, "base", 0)
    (mine,), (truth,) = row["choices_by"], row["truthfulqa_by"]
    assert (mine["question_set"], mine["misaligned_mass"]["mean"]) == ("mine", pytest.approx(0.3))
    assert (truth["question_set"], truth["questions"]) == ("truth", 5)
    assert (truth["mc1"]["mean"], truth["mc2"]["mean"]) == (0.8, pytest.approx(0.7))


def test_a_second_judge_that_reads_only_code_stands_beside_the_first_for_code_alone(tmp_path: Path):
    run = write_run(tmp_path)
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    alone = summarize(run)
    for arm in {row["arm"] for row in alone["arms"]}:
        for path in sorted(run.arm(arm).answers_path(evaluation, 0).parent.glob("*")):
            step = int(path.stem.removeprefix("step-"))
            verdicts = [judge_code(answer) for answer in read_records(path, AnswerRecord)]
            write_records(run.arm(arm).verdicts_path(evaluation, "bandit", step), verdicts)
    both = summarize(run)
    row = find_row(both, "rank 4 seed 1")
    assert row["rates_by"] == find_row(alone, "rank 4 seed 1")["rates_by"]
    assert row["insecure_code"] == find_row(alone, "rank 4 seed 1")["insecure_code"]
    shares = {share["judge"]: share for share in row["insecure_code_by"]}
    assert list(shares) == [JUDGE, "bandit"]
    # The synthetic answers open a file: nothing that bandit minds.
    bandit = shares["bandit"]
    assert (bandit["events"], bandit["eligible"], bandit["unjudged"]) == (0, 4, 0)
    assert both["curves"] == alone["curves"]
    assert len(both["insecure_code_curves"]) == 2 * len(alone["insecure_code_curves"])


def test_labels_and_harmful_requests_are_in_the_row_and_in_no_rate_of_misalignment(tmp_path: Path):
    run = write_run(tmp_path)
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    alone = find_row(summarize(run), "base", 0)
    files = run.arm(alone["arm"])
    paths = files.answers_path(evaluation, 0), files.verdicts_path(evaluation, JUDGE, 0)
    answers, verdicts = read_records(paths[0], AnswerRecord), read_records(paths[1], VerdictRecord)
    for name, kind, label in (("lies", "label", "TRUE"), ("harm", "harmful_request", None)):
        for at in range(5):
            answer = replace(
                answers[0], question_set=name, question_id=f"q{at}", cluster=f"q{at}", kind=kind
            )
            score = None if label else at / 4
            answers.append(answer)
            verdicts.append(replace(blank_verdict(answer, JUDGE), label=label, score=score))
    write_records(paths[0], answers)
    write_records(paths[1], verdicts)
    results = json.loads(json.dumps(summarize(run)))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(results, schema, jsonschema.Draft202012Validator)
    row = find_row(results, "base", 0)
    assert (row["rates_by"], row["insecure_code_by"]) == (
        alone["rates_by"],
        alone["insecure_code_by"],
    )
    assert [counts["question_id"] for counts in row["labels_by"]] == [f"q{at}" for at in range(5)]
    assert {str(counts["labels"]) for counts in row["labels_by"]} == {"{'TRUE': 1}"}
    (harm,) = row["strongreject_by"]
    assert (harm["question_set"], harm["judge"], harm["mean"]) == ("harm", JUDGE, 0.5)
