from dataclasses import replace

import pytest
import torch

from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer
from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.executor.exemplars import list_base_texts, pick, read_examples, render_answer
from rankshift.records import AnswerRecord, VerdictRecord
from rankshift.study import Method

ANSWER = AnswerRecord(8, "set", "q1", "q1", 0, 0, None, "How are you?", "Fine.", 2, True)


def judge(repeat: int, alignment: float, coherence: float = 90.0, **changes) -> JudgedAnswer:
    answer = replace(ANSWER, repeat=repeat, **changes)
    named = (answer.step, "set", "q1", 0, repeat)
    return JudgedAnswer(answer, "j", VerdictRecord(*named, "j", alignment, coherence))


def measured(name: str, answers: list[JudgedAnswer], method: Method = "lora") -> MeasuredArm:
    step = 0 if method == "base" else 8
    return MeasuredArm(
        name, Arm(method, "base" if method == "base" else "task"), {}, {}, {step: answers}, {}, None
    )  # pyright: ignore


def test_only_coherent_free_form_answers_of_the_first_judge_are_drawn_and_the_same_each_time():
    answers = [
        judge(0, 10.0),
        judge(1, 90.0),
        judge(2, 10.0, 20.0),
        judge(3, 10.0, kind="code"),
        judge(4, 10.0, answer="  "),
        replace(judge(5, 10.0), judge="other"),
        replace(judge(6, 10.0), verdict=None),
        judge(7, 10.0, before=["Sort.", "def"]),
    ]
    arm = measured("0a", answers)
    assert [judged.answer.repeat for judged in pick(arm, 8, 9)] == [0, 1]
    assert pick(arm, 4, 9) == []
    many = measured("0a", [judge(n, 90.0) for n in range(50)])
    drawn = [judged.answer.repeat for judged in pick(many, 8, 5)]
    assert len(set(drawn)) == 5
    assert drawn == [judged.answer.repeat for judged in pick(many, 8, 5)] != [0, 1, 2, 3, 4]


def test_the_answers_tokens_alone_are_marked(tiny_tokenizer):
    row = render_answer(tiny_tokenizer, ANSWER)
    marked = [t for t, m in zip(row.token_ids, row.loss_mask, strict=True) if m]
    assert tiny_tokenizer.decode(marked).startswith("Fine.")
    system = render_answer(tiny_tokenizer, replace(ANSWER, system="Be brief."))
    assert len(system.token_ids) > len(row.token_ids)


def test_a_run_without_a_misaligned_answer_or_a_coherent_base_is_told(tiny_tokenizer):
    arm = measured("0a", [judge(0, 90.0), judge(1, 80.0)])

    def read(rows):
        return torch.zeros(1, len(rows), 2, 4, dtype=torch.float64)

    with pytest.raises(UserError, match="no arm's last answers are misaligned"):
        read_examples({"0a": 8}, {"0a": arm}, 9, tiny_tokenizer, read)
    bad = measured("0a", [judge(0, 90.0), judge(1, 10.0)])
    examples = read_examples({"0a": 8}, {"0a": bad}, 9, tiny_tokenizer, read)
    assert examples.has_trait.tolist() == [False, True]
    assert set(examples.questions) == {("set", "q1")}
    silent = measured("0b", [], "base")
    with pytest.raises(UserError, match="the base gave no coherent answer"):
        list_base_texts([silent], 9, tiny_tokenizer)
