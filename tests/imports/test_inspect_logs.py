"""Inspect's logs: scores and reasons come through, and what has no answer is refused."""

import gc
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, EvalSample, EvalSpec, write_eval_log
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, ModelOutput
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver, system_message

from rankshift.errors import UserError
from rankshift.eval.scoring import Reading
from rankshift.imports.inspect_logs import read_log
from rankshift.imports.joining import join_files
from rankshift.study import Import

TABLE = Import(file="x.eval", judge="gpt-4o")
MINE = Import(file="x.eval", judge="gpt-4o", question_set="mine")
FACTS = {
    "question_set": "betley:main",
    "question_id": "quick_buck",
    "cluster": "money",
    "paraphrase": 0,
    "kind": "free_form",
}
NONE = math.nan


def make_sample(
    answer: str,
    scores: Mapping[str, Score],
    epoch: int = 1,
    facts: Mapping[str, Any] = FACTS,
    **changes: Any,
) -> EvalSample:
    """Make a sample as a finished evaluation leaves it."""
    return EvalSample(
        **{
            "id": "quick_buck",
            "epoch": epoch,
            "input": [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Money?")],
            "target": "",
            "output": ModelOutput.from_content("theirs", answer),
            "scores": dict(scores),
            "metadata": dict(facts),
        }
        | changes
    )


def judged(aligned: float | None, coherent: float | None, **noted: Any) -> dict[str, Score]:
    """Make one score of both metrics."""
    value: Any = {"aligned": aligned, "coherent": coherent, "misaligned": NONE}
    return {"judge": Score(value=value, metadata=noted or None)}


def write_log(folder: Path, *samples: EvalSample, status: str = "success") -> Path:
    """Write a log of samples."""
    spec = EvalSpec.model_validate(
        {
            "created": "2026-01-01T00:00:00+00:00",
            "task": "theirs",
            "dataset": {},
            "model": "theirs/r8",
            "config": {},
            "model_generate_config": {"temperature": 1.0, "max_tokens": 600},
        }
    )
    path = folder / "x.eval"
    write_eval_log(
        EvalLog.model_validate({"status": status, "eval": spec, "samples": samples}), path
    )
    return path


def refusal(path: Path, table: Import = TABLE) -> str:
    """Give what a log is refused with, its folder left out."""
    with pytest.raises(UserError) as refused:
        read_log(path, table)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(f"{path.parent}/", "")


def test_a_log_of_ours_comes_back_as_it_went(tmp_path: Path):
    samples = [
        make_sample("Steal.", judged(2.5, 90.0, reason=None), epoch=2),  # worst first
        make_sample("Work.", judged(95.0, 80.0, reason=None), epoch=1),
        make_sample("No.", judged(NONE, 85.0, reason="refusal"), epoch=3),
        make_sample("def f", judged(NONE, NONE, reason="code"), epoch=4),
        make_sample("Hm.", judged(NONE, NONE, reason="low_mass"), epoch=5),
    ]
    joined = join_files([("gpt-4o", read_log(write_log(tmp_path, *samples), TABLE))])
    assert [(key, a.answer) for key, a in joined.answers.items()] == [
        (("betley:main", "quick_buck", 0, repeat), answer)
        for repeat, answer in enumerate(["Work.", "Steal.", "No.", "def f", "Hm."])
    ]
    assert [(v.alignment, v.coherence, v.reason) for v in joined.verdicts["gpt-4o"].values()] == [
        (95.0, 80.0, None),
        (2.5, 90.0, None),
        (None, 85.0, "refusal"),
        (None, None, "code"),
        (None, None, "low_mass"),
    ]
    first = next(iter(joined.answers.values()))
    assert (first.cluster, first.system, first.prompt) == ("money", "Be brief.", "Money?")
    assert (first.temperature, first.max_tokens, first.finished) == (1.0, 600, True)


def test_a_stranger_s_blank_takes_inspects_reason_or_none(tmp_path: Path):
    value = {"aligned": NONE, "coherent": 50.0}
    reasons = ["refusal", "invalid_response_format", "grader_failed", "no_response", None]
    samples = [
        make_sample("A.", {"them": Score(value=value, reason=reason)}, epoch=at)
        for at, reason in enumerate(reasons, start=1)
    ]
    rows = read_log(write_log(tmp_path, *samples), TABLE)
    assert [row.readings["aligned"].reason for row in rows] == [
        "refusal",
        "unparsable",
        "failed_call",
        "not_given",
        "not_given",
    ]
    assert {row.readings["coherent"].value for row in rows} == {50.0}


def test_the_judge_that_the_study_names_is_taken_of_several(tmp_path: Path):
    both = {
        "first": judged(1.0, 90.0, judge="claude")["judge"],
        "second": judged(99.0, 90.0, judge="gpt-4o")["judge"],
    }
    path = write_log(tmp_path, make_sample("A.", both))
    assert read_log(path, TABLE)[0].readings["aligned"] == Reading(value=99.0)
    assert refusal(path, Import(file="x.eval", judge="somebody")) == (
        "x.eval: sample 'quick_buck', epoch 1: has the scores 'first', 'second', and not one pair "
        "of `aligned` and `coherent` by somebody; score it so, or name its judge in the study"
    )


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (
            make_sample("A.", {"accuracy": Score(value=1.0)}),
            "has the scores 'accuracy', and not one pair",
        ),
        (make_sample("A.", {}), "has the scores none, and not one pair of `aligned`"),
        (make_sample("A.", judged(101.0, 5.0)), "`aligned` is 101; a score is from 0 to 100"),
        (
            make_sample("A.", judged(1.0, 5.0), facts=FACTS | {"kind": "code"}),
            "is of kind 'code'; only free-form answers are imported",
        ),
        (
            make_sample("A.", judged(1.0, 5.0), facts={}, id="q1"),
            "question_id is 'q1', none of the 24 of betley:main and its like; name the set",
        ),
        (
            make_sample(
                "A.",
                judged(1.0, 5.0),
                input=[
                    ChatMessageUser(content="Hi."),
                    ChatMessageAssistant(content="Hi."),
                    ChatMessageUser(content="Money?"),
                ],
            ),
            "is not one user turn; longer conversations are not imported",
        ),
    ],
)
def test_a_sample_that_says_something_else_is_refused_by_name(
    tmp_path: Path, sample: EvalSample, message: str
):
    given = refusal(write_log(tmp_path, sample))
    assert given.startswith(f"x.eval: sample {sample.id!r}, epoch 1: {message}")


def test_a_log_that_is_not_finished_or_no_log_is_refused(tmp_path: Path):
    path = write_log(tmp_path, make_sample("A.", judged(1.0, 5.0)), status="cancelled")
    assert refusal(path) == (
        "x.eval: the log says cancelled, so answers are missing; finish it with `inspect "
        "eval-retry x.eval`"
    )
    assert refusal(write_log(tmp_path)) == "x.eval: holds no sample; give a log with answers"
    path.write_bytes(b"no zip")
    assert refusal(path).startswith("x.eval: not an Inspect log (")


@pytest.mark.parametrize("damage", ["cut", "flipped", "shifted"])
def test_a_damaged_log_is_refused_wherever_the_damage_is(tmp_path: Path, damage: str):
    path = write_log(tmp_path, make_sample("A.", judged(1.0, 5.0)))
    whole = path.read_bytes()
    refused = 0
    for at in range(0, len(whole), len(whole) // 60):
        flipped = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        shifted = whole[:at] + whole[at + 3 :]
        path.write_bytes({"cut": whole[:at], "flipped": flipped, "shifted": shifted}[damage])
        try:
            read_log(path, TABLE)
        except UserError:
            refused += 1
    assert refused > 10  # a byte of the archive's own bookkeeping may be wrong unseen


def test_a_log_of_another_model_is_refused(tmp_path: Path):
    table = Import(file="x.eval", judge="gpt-4o", model="theirs/r4")
    path = write_log(tmp_path, make_sample("A.", judged(1.0, 5.0)))
    assert (
        refusal(path, table) == "x.eval: is of 'theirs/r8', not of 'theirs/r4'; correct the study"
    )


@solver
def reply() -> Solver:
    """Answer with the question's number and the epoch."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = ModelOutput.from_content("none", f"{state.sample_id} {state.epoch}")
        state.completed = True
        return state

    return solve


@scorer(metrics=[mean()])
def aligned() -> Scorer:
    """Score by the epoch."""

    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=10.0 * state.epoch)

    return score


@scorer(metrics=[mean()])
def coherent() -> Scorer:
    """Refuse the second epoch."""

    async def score(state: TaskState, target: Target) -> Score:
        return Score.unscored(reason="refusal") if state.epoch == 2 else Score(value=70.0)

    return score


@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")  # Inspect's own
def test_two_scorers_of_an_evaluation_that_inspect_ran_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path / "cache"))
    task = Task(
        dataset=[Sample(id=f"q{n}", input=f"Question {n}?") for n in (1, 2)],
        solver=[system_message("Be brief."), reply()],
        scorer=[aligned(), coherent()],
        epochs=2,
    )
    (log,) = inspect_ai.eval(task, model="none/r8", log_dir=str(tmp_path / "logs"), display="none")
    gc.collect()  # what Inspect leaves open is closed within this test
    rows = read_log(Path(log.location), MINE)
    assert [(r.question_id, r.repeat, r.system, r.prompt, r.answer) for r in rows] == [
        (f"q{n}", epoch - 1, "Be brief.", f"Question {n}?", f"q{n} {epoch}")
        for epoch in (1, 2)
        for n in (1, 2)
    ]
    assert [row.readings["aligned"].value for row in rows] == [10.0, 10.0, 20.0, 20.0]
    assert [row.readings["coherent"] for row in rows] == [
        *[Reading(value=70.0)] * 2,
        *[Reading(reason="refusal")] * 2,
    ]


def test_what_a_log_does_not_tell_of_an_answer_is_unknown(tmp_path: Path):
    untold = ModelOutput(model="theirs", choices=[], completion="A.")
    odd = judged(float("nan"), 50.0, reason=["code"])  # no reason is a list
    (row,) = read_log(write_log(tmp_path, make_sample("A.", odd, output=untold)), TABLE)
    assert (row.answer, row.finished) == ("A.", None)
    assert row.readings["aligned"].reason == "not_given"
