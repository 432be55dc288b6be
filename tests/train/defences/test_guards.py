import torch

from rankshift.train.defences.guards import Guards, add_by_arm


def test_states_of_arms_that_are_not_shifted_are_the_very_same():
    states = torch.randn(6, 5, 4)
    shifted = add_by_arm({1: torch.ones(4)}, 3)(states)
    assert torch.equal(shifted[:2], states[:2])
    assert torch.equal(shifted[4:], states[4:])
    assert torch.equal(shifted[2:4], states[2:4] + 1)


def test_without_guards_nothing_is_counted_and_nothing_hooked(tiny_model):
    guards = Guards([])
    with guards.steer(tiny_model, range(3)):
        hooks = [module for module in tiny_model.modules() if module._forward_hooks]
    assert not hooks
    assert guards.seconds == []
