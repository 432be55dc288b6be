"""An arm that is served gives the answers that it gave in its study."""

import shutil
from dataclasses import replace

import pytest

from rankshift.errors import UserError
from rankshift.eval.answering import messages, name_answer
from rankshift.inspection.arms import find_arm
from rankshift.inspection.replays import read_stored
from rankshift.inspection.serving import Request, load_arm
from rankshift.inspection.suites import read_suite


@pytest.mark.parametrize("name", ["base", "rank-2-seed-1", "rank-4-seed-1@1", "full-seed-1"])
def test_a_served_arm_gives_its_studys_answers_whatever_is_asked_beside(tiny_run, questions, name):
    arm = find_arm(f"{tiny_run.directory}:{name}")
    stored = read_stored(arm, questions)
    asked = {(q.id, q.paraphrase): q for q in read_suite(questions)}
    requests = [
        Request(
            messages=messages(asked[a.question_id, a.paraphrase]),
            key=name_answer(
                0, arm.id, arm.step, (questions, a.question_id, a.paraphrase, a.repeat)
            ),
            max_tokens=8,
            temperature=1.0,
            top_p=1.0,
        )
        for a in stored
    ]
    others = [replace(requests[0], temperature=0.0), replace(requests[1], max_tokens=3)]
    load_arm(arm).answer([*others, *requests])
    replies = [request.reply for request in requests]
    assert [reply.text for reply in replies if reply] == [answer.answer for answer in stored]
    assert [reply.finished for reply in replies if reply] == [a.finished for a in stored]
    assert others[1].reply is not None
    assert others[1].reply.answer_tokens <= 3


def test_a_checkpoint_that_is_gone_and_another_base_are_refused(tiny_run, tmp_path):
    copy = tmp_path / "tiny"
    shutil.copytree(tiny_run.directory, copy)
    arm = find_arm(f"{copy}:rank-2-seed-1")
    with pytest.raises(UserError, match=r"is not the model that .* was made with"):
        load_arm(replace(arm, base_fingerprint="0" * 64))
    shutil.rmtree(arm.files.checkpoint(2))
    with pytest.raises(UserError, match="no such checkpoint"):
        load_arm(arm)
