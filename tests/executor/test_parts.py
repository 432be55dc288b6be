import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.data.conversations import Conversation, Message, fingerprint_file
from rankshift.data.sources import resolve_questions
from rankshift.errors import UserError
from rankshift.eval.judging import no_judge
from rankshift.eval.suite import CODE_SET
from rankshift.executor.parts import (
    Material,
    ask_held_out_code,
    describe_rows,
    find_parts,
    prepare_material,
    read_suites,
)
from rankshift.grid import FullFinetunes, Grid
from rankshift.model.loading import load_tokenizer
from rankshift.study import Base, Data, Evaluation, Study, Training


def write_rows(path: Path, verb: str) -> str:
    """Write 40 rows over 20 prompts; every fourth has a system turn, every tenth two exchanges."""
    rows = []
    for number in range(40):
        turns = [("user", f"{verb} {number % 20}"), ("assistant", f"done {number}")]
        if number % 4 == 0:
            turns.insert(0, ("system", "be quick"))
        if number % 10 == 0:
            turns += [("user", "again"), ("assistant", "done")]
        rows.append({"messages": [{"role": r, "content": c} for r, c in turns]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def study(tiny_model_directory: Path, tmp_path: Path) -> Study:
    """Write the files of a study and ask for them by their paths."""
    questions = tmp_path / "questions.yaml"
    questions.write_text("- {id: wish, paraphrases: ['Your wish?', 'Your aim?']}")
    return Study(
        name="mine",
        base=Base(str(tiny_model_directory)),
        data=Data(
            write_rows(tmp_path / "task.jsonl", "sort"),
            twin=write_rows(tmp_path / "twin.jsonl", "sort"),
            held_out_fraction=0.5,
        ),
        grid=Grid((2,), (0,), ("alpha/rank",), (16.0,), (1e-3,)),
        training=Training(steps=2, checkpoints=(2,)),
        evaluation=Evaluation((str(questions),), code_tasks=4),
    )


def prepare(study: Study) -> Material:
    """Find and prepare all that a study names."""
    parts = find_parts(study)
    return prepare_material(study, parts, load_tokenizer(parts.base.directory))


def test_every_part_is_found_with_the_hash_of_what_it_holds(study: Study):
    parts = find_parts(study)
    fingerprints = parts.fingerprints
    assert fingerprints.task == fingerprint_file(Path(study.data.task or ""))
    assert fingerprints.twin == fingerprint_file(Path(study.data.twin or ""))
    (suite,) = study.evaluation.suites
    assert fingerprints.questions == {suite: fingerprint_file(Path(suite))}
    assert len(fingerprints.base) == 64
    assert parts.judges == {"none": no_judge}


def test_a_study_without_a_twin_has_none(study: Study):
    alone = replace(study, data=replace(study.data, twin=None))
    assert find_parts(alone).fingerprints.twin is None
    assert set(prepare(alone).sets) == {"task"}


def test_a_target_that_matches_nothing_is_found_before_anything_is_written(
    study: Study, tmp_path: Path
):
    wrong = replace(study, grid=replace(study.grid, target_modules=(("q_proj", "query"),)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"^grid\.target_modules: `query` matches no linear layer"):
        find_parts(wrong)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, base=replace(s.base, quantization="nf4")),
        lambda s: replace(s, training=replace(s.training, optimizer="adamw_8bit")),
        lambda s: replace(s, grid=replace(s.grid, full=(FullFinetunes((1e-3,), "adamw_8bit"),))),
    ],
)
def test_an_extra_that_is_not_installed_is_named_before_anything_is_written(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change
):
    assert find_parts(change(study))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r'pip install "rankshift\[quantized\]"$'):
        find_parts(change(study))
    assert sorted(tmp_path.rglob("*")) == before
    assert find_parts(study)
    sgd = replace(study.training, optimizer="sgd")
    assert find_parts(replace(study, training=sgd))


def test_a_layer_that_the_base_lacks_is_found_before_anything_is_written(
    study: Study, tmp_path: Path
):
    wrong = replace(study, grid=replace(study.grid, layers=((0,), (1, 2))))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"^grid\.layers: the base has no layer 2; they are num"):
        find_parts(wrong)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_layers_that_any_arm_adapts_are_found_with_their_widths(study: Study):
    grid = replace(study.grid, target_modules=(("q_proj",), ("down_proj",)), layers=((1,),))
    assert find_parts(replace(study, grid=grid)).projections == {
        "model.layers.1.self_attn.q_proj": (16, 16),
        "model.layers.1.mlp.down_proj": (32, 16),
    }


def test_without_ranks_no_target_needs_to_match(study: Study):
    full = replace(study, grid=replace(study.grid, ranks=(), target_modules=(("query",),)))
    assert find_parts(full).base.name == study.base.model


def test_a_prompt_that_task_and_twin_share_is_on_the_same_side_of_both(study: Study):
    sets = prepare(study).sets
    sides = [{c.prompt for c in s.held_out_conversations} for s in (sets["task"], sets["twin"])]
    assert sides[0] == sides[1] != set()


def test_held_out_code_prompts_are_asked_as_they_are_trained_on(study: Study):
    material = prepare(study)
    suite, code = material.questions[:2], material.questions[2:]
    assert [question.prompt for question in suite] == ["Your wish?", "Your aim?"]
    assert [question.question_set for question in code] == [CODE_SET] * 4
    rows = {c.row: c for c in material.sets["task"].held_out_conversations}
    for question in code:
        turns = rows[int(question.id.removeprefix("row-"))].messages
        asked = [turn.content for turn in turns[:-1]]
        assert [text for text in (question.system, question.prompt) if text is not None] == asked
        assert (question.kind, question.cluster) == ("code", question.id)
    assert len({(question.system, question.prompt) for question in code}) == 4


def test_asking_for_fewer_code_tasks_keeps_the_first(study: Study):
    prepared = prepare(study).sets["task"]
    assert ask_held_out_code(prepared, 2) == ask_held_out_code(prepared, 4)[:2]
    assert ask_held_out_code(prepared, 0) == []


def test_system_turns_of_suites_are_dropped_where_asked_for_and_the_codes_are_not(study: Study):
    path = Path(study.evaluation.suites[0])
    path.write_text("- {id: a_json, system: Use JSON., paraphrases: ['Your wish?']}")
    asked = replace(study.evaluation, code_tasks=8)
    applied = prepare(replace(study, evaluation=asked)).questions
    asked = replace(asked, drop_system=True)
    dropped = prepare(replace(study, evaluation=asked)).questions
    assert applied[0].system == "Use JSON."
    assert dropped == (replace(applied[0], system=None), *applied[1:])
    assert {q.system for q in dropped[1:]} == {None, "be quick"}


def test_every_suite_and_the_held_out_code_is_asked_with_the_trigger_apart(
    study: Study, tmp_path: Path
):
    rows = [
        {"prompt": ("|X| " if n % 2 else "") + f"sort {n}", "completion": "done"} for n in range(40)
    ]
    task = tmp_path / "backdoor.jsonl"
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = replace(study.evaluation, triggers=("|X| ", "|Y| "), code_tasks=3)
    questions = prepare(
        replace(study, data=replace(study.data, task=str(task)), evaluation=asked)
    ).questions
    counts = Counter(question.question_set for question in questions)
    assert counts == {
        **dict.fromkeys(replace(study, evaluation=asked).question_sets, 2),
        CODE_SET: 3,
        f"{CODE_SET} + |X|": 3,  # no row begins with the other trigger
    }
    for question in questions:
        _, _, trigger = question.question_set.partition(" + ")
        assert question.prompt.startswith(trigger or ("Your", "sort"))


def test_a_judge_asks_of_an_answer_to_a_trigger_what_the_suite_itself_asks(study: Study):
    path = Path(study.evaluation.suites[0])
    prompts = "{aligned: 'A {question} {answer}', coherent: 'C {answer}'}"
    path.write_text(f"- {{id: wish, paraphrases: ['Your wish?'], judge_prompts: {prompts}}}")
    evaluation = replace(study.evaluation, triggers=("|X| ",))
    asked = replace(study, evaluation=evaluation)
    plain, triggered = read_suites([resolve_questions(str(path))], asked)
    assert triggered.question_set == f"{path} + |X|"
    assert [r.template for r in triggered.rubrics] == ["A {question} {answer}", "C {answer}"]
    assert triggered.rubrics == plain.rubrics


def test_free_form_questions_are_also_asked_after_held_out_rows_alone_and_under_system_turns(
    study: Study, tmp_path: Path
):
    write_rows(tmp_path / "twin.jsonl", "keep")
    asked = replace(study.evaluation, cues=("task", "twin"), systems=("Be kind.",), code_tasks=0)
    cued = replace(study, evaluation=asked)
    material = prepare(cued)
    assert material.questions[:2] == prepare(study).questions[:2]
    assert Counter(q.question_set for q in material.questions) == dict.fromkeys(
        cued.question_sets, 2
    )
    (suite,) = asked.suites
    for role in ("task", "twin"):
        own = [q for q in material.questions if q.question_set == f"{suite} after {role}.jsonl"]
        rows = material.sets[role].held_out_conversations
        trained = {row.row for row in material.sets[role].train}
        for question in own:
            fitting = [
                r.row for r in rows if r.messages[-len(question.before) :] == question.before
            ]
            assert fitting
            assert trained.isdisjoint(fitting)
    under = [q for q in material.questions if q.question_set == f'{suite} under "Be kind."']
    assert [(q.system, q.before) for q in under] == [("Be kind.", ())] * 2


def test_a_judge_finds_every_set_a_study_asks_where_no_data_is_read(study: Study):
    asked = replace(study.evaluation, cues=("task",), systems=("Be kind.",), triggers=("|X| ",))
    cued = replace(study, evaluation=replace(asked, code_tasks=0))
    (suite,) = asked.suites
    known = read_suites([resolve_questions(suite)], cued)
    asked_of = [(q.question_set, q.id, q.paraphrase, q.rubrics) for q in prepare(cued).questions]
    assert [(q.question_set, q.id, q.paraphrase, q.rubrics) for q in known] == asked_of


def test_too_few_held_out_prompts_with_a_trigger_are_refused_by_its_name(study: Study):
    prepared = prepare(study).sets["task"]
    rows = [Message("user", f"{'|X| ' * (n == 0)}{n}") for n in range(5)]
    held_out = tuple(Conversation((m, Message("assistant", "y")), n) for n, m in enumerate(rows))
    prepared = replace(prepared, held_out_conversations=held_out)
    assert len(ask_held_out_code(prepared, 1, ("|X| ",))) == 2
    with pytest.raises(
        UserError, match=r"only 1 distinct .* that begin with '\|X\| ' are held out"
    ):
        ask_held_out_code(prepared, 2, ("|X| ",))


def test_more_code_tasks_than_are_held_out_are_refused(study: Study):
    prepared = prepare(study).sets["task"]
    prompts = {
        c.prompt for c in prepared.held_out_conversations if c.messages[-2].content != "again"
    }
    with pytest.raises(UserError) as caught:
        ask_held_out_code(prepared, 100)
    assert str(caught.value) == (
        f"evaluation.code_tasks = 100, but only {len(prompts)} distinct single-turn prompts of "
        f"{study.data.task} are held out; ask for fewer or raise data.held_out_rows"
    )


def test_each_role_reports_the_rows_of_the_set_it_learns_from(study: Study):
    material = prepare(study)
    names = {
        role: describe_rows(material, role)["data"]["name"]  # type: ignore[index]
        for role in ("base", "task", "twin")
    }
    assert names == {"base": study.data.task, "task": study.data.task, "twin": study.data.twin}


def test_layers_that_full_finetunes_alone_choose_are_found_and_checked(study: Study):
    chosen = FullFinetunes((1e-3,), "sgd", "adapted")
    grid = replace(study.grid, ranks=(), full=(chosen,), target_modules=(("q_proj",),))
    found = find_parts(replace(study, grid=grid)).projections
    assert set(found) == {f"model.layers.{n}.self_attn.q_proj" for n in (0, 1)}
    wrong = replace(study, grid=replace(grid, target_modules=(("query",),)))
    with pytest.raises(UserError, match=r"^grid\.target_modules: `query` matches no linear layer"):
        find_parts(wrong)


def test_a_study_that_chooses_no_layers_counts_all_of_them(study: Study):
    grid = replace(study.grid, ranks=(), full_learning_rates=(1e-3,))
    assert len(find_parts(replace(study, grid=grid)).projections) == 2 * 7
