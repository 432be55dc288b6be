import pytest
import torch
from torch import Tensor

from rankshift.model import head
from rankshift.model.head import HeadLoss


@pytest.fixture(params=[1, 3, 7, 100], ids="{0} tokens at a time".format)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Make the logits of so many tokens at a time, of a vocabulary of 11."""
    monkeypatch.setitem(head.CHUNK_LOGITS, "cpu", 11 * request.param)
    return request.param


def draw(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw hidden states, a head, targets, and what the losses are multiplied by."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 5, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn(11, 5, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.randint(0, 11, (7,), generator=generator)
    shares = torch.rand(7, generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets, shares


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_losses_and_gradients_are_those_of_all_logits_together(
    chunk: int, dtype: torch.dtype, rtol: float
):
    hidden, weight, targets, shares = draw(dtype)
    losses = HeadLoss.apply(hidden, weight, targets)
    assert isinstance(losses, Tensor)
    (losses * shares).sum().backward()
    exact = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight)]
    expected = torch.nn.functional.cross_entropy(exact[0] @ exact[1].t(), targets, reduction="none")
    (expected * shares).sum().backward()
    torch.testing.assert_close(losses.double(), expected, rtol=rtol, atol=rtol)
    for got, right in zip((hidden, weight), exact, strict=True):
        assert got.grad is not None
        assert right.grad is not None
        assert got.grad.dtype == dtype
        assert (got.grad.double() - right.grad).norm() < rtol * right.grad.norm()


def test_a_frozen_head_gets_no_gradient_and_its_logits_are_made_once(
    monkeypatch: pytest.MonkeyPatch,
):
    hidden, weight, targets, _ = draw(torch.float32)
    divided = []
    divide = head._divide
    monkeypatch.setattr(head, "_divide", lambda *a: divided.append(1) or divide(*a))
    losses = HeadLoss.apply(hidden, weight.detach(), targets)
    assert isinstance(losses, Tensor)
    losses.sum().backward()
    assert weight.grad is None
    assert hidden.grad is not None
    assert divided == [1]


def test_no_more_logits_than_a_chunk_lie_in_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(head.CHUNK_LOGITS, "cpu", 2**16)
    hidden, weight = torch.randn(512, 4).requires_grad_(), torch.randn(2**14, 4)
    with torch.profiler.profile(profile_memory=True) as profile:
        losses = HeadLoss.apply(hidden, weight, torch.zeros(512, dtype=torch.long))
        assert isinstance(losses, Tensor)
        losses.sum().backward()
    events = profile.events()
    assert events is not None
    largest = max(event.cpu_memory_usage for event in events)
    assert largest < 2 * 4 * 2**16  # all logits are 32 MiB
