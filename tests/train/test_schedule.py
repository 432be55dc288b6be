from collections.abc import Callable

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from rankshift.study import ScheduleName
from rankshift.train.schedule import scheduled_share

STEPS = 17


@pytest.mark.parametrize("warmup_steps", [0, 1, 5, STEPS])
@pytest.mark.parametrize(
    ("schedule", "get_schedule"),
    [
        ("constant", lambda opt, warmup, steps: get_constant_schedule_with_warmup(opt, warmup)),
        ("linear", get_linear_schedule_with_warmup),
        ("cosine", get_cosine_schedule_with_warmup),
    ],
)
def test_every_step_has_the_rate_that_transformers_gives_it(
    schedule: ScheduleName, get_schedule: Callable, warmup_steps: int
):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3.0)
    scheduler = get_schedule(optimizer, warmup_steps, STEPS)
    for step in range(STEPS):
        share = scheduled_share(step, STEPS, warmup_steps, schedule)
        assert 3.0 * share == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_the_first_step_of_a_warm_up_moves_nothing():
    assert scheduled_share(0, STEPS, 4, "linear") == 0.0
    assert scheduled_share(4, STEPS, 4, "linear") == 1.0
