import torch
from transformers import PreTrainedModel

from rankshift.model.drawing import SamplingSettings
from rankshift.model.queue import MOST_TOGETHER, Group, Queue, Task, split_by_token

PROMPTS = [(7, 200, 13), (5, 5, 80, 91, 120, 3), (61,), (1, 2), (3, 4), (9, 9)]
REPEATS = MOST_TOGETHER + 8


def make_queue(model: PreTrainedModel, temperature: float, ends: tuple[int, ...] = ()) -> Queue:
    """Ask all prompts of two arms, which are one bare model here."""
    shape = (2, len(PROMPTS), REPEATS, 5)
    uniforms = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    settings = SamplingSettings(5, temperature, 1.0, ends, pad_token=256)
    tokens = torch.zeros(uniforms[..., 0].numel() + 1, 5, dtype=torch.long)
    return Queue(model, Task(PROMPTS, 32, 2, uniforms, settings), tokens, block_columns=32)


def take_all(queue: Queue, arm: int) -> list[Group]:
    """Take groups until there are none."""
    groups = []
    while (group := queue.take(arm)) is not None:
        groups.append(group)
    return groups


def test_answers_are_put_together_by_the_token_they_drew():
    assert split_by_token([4, 5, 6, 7], [9, 2, 9, 3]) == [(9, [4, 6]), (2, [5]), (3, [7])]


@torch.no_grad()
def test_every_answer_is_in_one_group_with_its_first_token_after_its_prompt(
    tiny_model: PreTrainedModel,
):
    queue = make_queue(tiny_model, temperature=0.5)
    for arm in range(2):
        groups = take_all(queue, arm)
        first = arm * len(PROMPTS) * REPEATS
        answers = [answer for group in groups for answer in group.answers]
        assert sorted(answers) == list(range(first, first + len(PROMPTS) * REPEATS))
        assert len(groups) < len(answers)
        for group in groups:
            assert {int(queue.tokens[answer, 0]) for answer in group.answers} == {group.token}
            (prompt,) = {(answer - first) // REPEATS for answer in group.answers}
            assert group.position == len(PROMPTS[prompt])


@torch.no_grad()
def test_a_group_is_no_larger_than_a_slot_has_room_for(tiny_model: PreTrainedModel):
    queue = make_queue(tiny_model, temperature=0)
    sizes = [len(group.answers) for group in take_all(queue, 0)]
    assert sizes == [MOST_TOGETHER, 8] * len(PROMPTS)


@torch.no_grad()
def test_forks_go_before_what_has_not_begun_and_those_that_wait_longest_first(
    tiny_model: PreTrainedModel,
):
    queue = make_queue(tiny_model, temperature=0)
    forks = [Group((answer,), 3, answer, 9, None, place=answer // 2) for answer in range(4)]
    for fork in forks:
        queue.wait(1, fork)
    assert [queue.take(1) for _ in range(4)] == forks
    begun = queue.take(1)
    assert begun is not None
    assert begun.count == 1


@torch.no_grad()
def test_where_a_row_has_ended_the_fork_that_shares_most_with_it_goes_on(
    tiny_model: PreTrainedModel,
):
    queue = make_queue(tiny_model, temperature=0)
    forks = [Group((answer,), 3, 5 + answer, 9, None, place=6) for answer in range(3)]
    for fork in forks:
        queue.wait(0, fork)
    assert [queue.take_on(0, row) for row in (7, 6, 6, 6, 6)] == [None, *forks[::-1], None]
    assert queue.take_on(1, 6) is None


@torch.no_grad()
def test_an_answer_that_its_first_token_ends_is_in_no_group(tiny_model: PreTrainedModel):
    queue = make_queue(tiny_model, temperature=1, ends=tuple(range(259)))
    assert take_all(queue, 0) == []
    assert queue.read == len(PROMPTS)
