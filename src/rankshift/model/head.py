"""The loss behind a large vocabulary, without its logits ever lying in memory together."""

import torch
from torch import Tensor

CHUNK_LOGITS = {"cpu": 2**24, "cuda": 2**28}
"""Logits that are made at a time: 64 MiB in float32 on a CPU, 1 GiB on a GPU."""


class HeadLoss(torch.autograd.Function):
    """Cross-entropy behind a linear output head, some tokens at a time.

    The gradient of a token's loss with respect to its hidden state, (softmax - onehot) W, is made
    in the forward pass while its logits are there. Only a head that is itself trained has its
    logits made again, for its own gradient.
    """

    @staticmethod
    def forward(ctx, hidden, weight, targets):
        """Give the negative log-likelihood of each target, nats, in float32 `[supervised]`.

        Args:
            ctx: Autograd's.
            hidden: `[supervised, width]`.
            weight: The head's, `[vocabulary, width]`.
            targets: `[supervised]`.
        """
        losses = hidden.new_empty(len(hidden), dtype=torch.float32)
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for part in _divide(hidden, weight):
            logits = (hidden[part] @ weight.t()).float()
            total = logits.logsumexp(dim=1)
            own = targets[part, None]
            losses[part] = total - logits.gather(1, own)[:, 0]
            if grad is not None:
                residual = _subtract_target(logits, total, own)
                torch.mm(residual.to(hidden.dtype), weight, out=grad[part])
        ctx.save_for_backward(hidden, weight, targets, grad)
        return losses

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Give gradients for the hidden states and, if it is trained, the head."""
        hidden, weight, targets, grad = ctx.saved_tensors
        share = grad_outputs[0][:, None]
        grad_hidden = None if grad is None else grad * share.to(grad.dtype)
        if not ctx.needs_input_grad[1]:
            return grad_hidden, None, None
        grad_weight = torch.zeros_like(weight)
        for part in _divide(hidden, weight):
            logits = (hidden[part] @ weight.t()).float()
            residual = _subtract_target(logits, logits.logsumexp(dim=1), targets[part, None])
            residual.mul_(share[part])
            grad_weight.addmm_(residual.to(hidden.dtype).t(), hidden[part])
        return grad_hidden, grad_weight, None


def divide_tokens(num_tokens: int, vocabulary: int, device: str) -> list[slice]:
    """Divide tokens into parts whose logits may lie in memory together."""
    size = max(1, CHUNK_LOGITS.get(device, CHUNK_LOGITS["cpu"]) // vocabulary)
    return [slice(start, start + size) for start in range(0, num_tokens, size)]


def _divide(hidden: Tensor, weight: Tensor) -> list[slice]:
    return divide_tokens(len(hidden), len(weight), hidden.device.type)


def _subtract_target(logits: Tensor, total: Tensor, own: Tensor) -> Tensor:
    """Give softmax - onehot in the logits' memory."""
    residual = logits.sub_(total[:, None]).exp_()
    return residual.scatter_add_(1, own, -torch.ones_like(own, dtype=residual.dtype))
