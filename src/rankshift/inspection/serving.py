"""One arm's weights over its base, and the answers it gives to conversations that come together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.data.sources import resolve_base
from rankshift.errors import UserError
from rankshift.eval.answering import draw_stream, end_tokens, read_answer
from rankshift.inspection.arms import FoundArm
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import Tokenizer, load_model, load_tokenizer, padding_token
from rankshift.model.sampling import sample_answers
from rankshift.model.updates import holds_adapter
from rankshift.train.trainee import prepare_adapters, prepare_full, prepare_given


@dataclass(frozen=True)
class Reply:
    """An answer and what it took."""

    text: str
    finished: bool
    prompt_tokens: int
    answer_tokens: int


@dataclass
class Request:
    """A conversation that waits for its answer."""

    messages: tuple[Message, ...]
    key: str
    """Names the random numbers of the answer."""
    max_tokens: int
    temperature: float
    top_p: float
    reply: Reply | None = None

    @property
    def settings(self) -> tuple[int, float, float]:
        """Give what requests that are answered in one pass share."""
        return self.max_tokens, self.temperature, self.top_p


@dataclass(frozen=True)
class Served:
    """An arm, loaded."""

    arm: FoundArm
    model: PreTrainedModel
    tokenizer: Tokenizer

    def answer(self, requests: Sequence[Request]) -> None:
        """Answer requests, those with the same settings in one pass.

        The threads are those of the study, because their number can change a last digit; OpenMP
        keeps it for each thread that calls, so it is set each time.
        """
        torch.set_num_threads(self.arm.study.compute.threads)
        groups: dict[tuple[int, float, float], list[Request]] = {}
        for request in requests:
            groups.setdefault(request.settings, []).append(request)
        for group in groups.values():
            self._answer_alike(group)

    def _answer_alike(self, requests: Sequence[Request]) -> None:
        max_tokens, temperature, top_p = requests[0].settings
        settings = SamplingSettings(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            end_tokens=end_tokens(self.model, self.tokenizer),
            pad_token=padding_token(self.tokenizer),
        )
        prompts = [render_prompt(self.tokenizer, request.messages) for request in requests]
        draws = np.stack([draw_stream(request.key, max_tokens) for request in requests])
        answers = sample_answers(self.model, prompts, 1, draws[None, :, None], settings)
        for request, prompt, tokens in zip(requests, prompts, answers, strict=True):
            request.reply = Reply(
                text=read_answer(self.tokenizer, tokens),
                finished=len(tokens) < max_tokens,
                prompt_tokens=len(prompt),
                answer_tokens=len(tokens),
            )


def load_arm(arm: FoundArm) -> Served:
    """Load an arm as its study answers with it: the base's number type, its weights over it.

    Raises:
        UserError: The checkpoint is not there, or the base is not the one it was trained over.
    """
    base, training = arm.study.base, arm.study.training
    source = resolve_base(base.model, base.revision)
    if source.fingerprint != arm.base_fingerprint:
        raise UserError(
            f"base.model = {base.model}: is not the model that {arm.run.directory} was made with; "
            "restore it"
        )
    checkpoint = arm.files.checkpoint(arm.step)
    if arm.arm.method != "base" and not checkpoint.is_dir():
        raise UserError(f"{checkpoint}: no such checkpoint; run the study to its end first")
    model = load_model(source.directory, getattr(torch, training.dtype), base.quantization)
    if arm.arm.is_derived and holds_adapter(checkpoint):
        prepare_given(model, [checkpoint]).select(range(1))
    elif arm.arm.method == "lora":
        trainee = prepare_adapters(model, [arm.arm], base.model, draw=False)
        trainee.read(checkpoint, 0)
        trainee.select(range(1))
    elif arm.arm.method == "full":
        prepare_full(model).read(checkpoint, 0)
    model.eval().requires_grad_(requires_grad=False)
    return Served(arm, model, load_tokenizer(source.directory))
