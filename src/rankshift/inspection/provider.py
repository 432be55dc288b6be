"""An arm of a run as an Inspect model: `rankshift/runs/demo:rank-16-seed-1@64`."""

import hashlib
from collections import Counter
from time import monotonic
from typing import Any

import anyio
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from rankshift.data.conversations import Message
from rankshift.errors import UserError
from rankshift.eval.answering import name_answer
from rankshift.inspection.arms import FoundArm, find_arm
from rankshift.inspection.draws import ASKED
from rankshift.inspection.serving import Reply, Request, Served, load_arm
from rankshift.inspection.usage import as_prerequisite
from rankshift.study import Evaluation

GATHER_SECONDS = 0.05
"""How long requests that come together are waited for, so that they are answered together."""

KNOWN = ("temperature", "top_p", "max_tokens", "seed")
HARMLESS = (
    "max_retries",
    "timeout",
    "attempt_timeout",
    "max_connections",
    "adaptive_connections",
    "cache",
)
"""Settings of Inspect's own work, which change no answer."""

DEFAULTS = Evaluation(suites=())


class ArmAPI(ModelAPI):
    """Loads a base and one arm's weights in this process when first asked, and samples with them.

    Answers are drawn by the program's own sampler. In our tasks the random numbers of an answer
    are those of the study, keyed by its seed (or Inspect's `seed`), arm, step, question and repeat,
    so the answers are the study's own. In other tasks they are keyed by the conversation and by how
    many times it was asked before.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own signature
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        with as_prerequisite():
            _refuse(model_args, "takes no model arguments")
        self._served: Served | None = None
        self._waiting: list[Request] = []
        self._working = anyio.Lock()
        self._times_asked: Counter[str] = Counter()

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer one conversation, together with whatever else is asked at the time."""
        with as_prerequisite():
            _check(tools, config)
            if self._served is None:
                await self._load()
            assert self._served is not None
            request = self._make_request(self._served.arm, input, config)
            started = monotonic()
            reply = await self._answer(request)
        return self._make_output(reply, monotonic() - started)

    def max_tokens(self) -> int | None:
        """Give how long an answer may be where nobody says."""
        return DEFAULTS.max_answer_tokens

    def max_connections(self) -> int:
        """Give how many conversations are answered together."""
        return 64

    async def _load(self) -> None:
        async with self._working:
            if self._served is None:
                arm = find_arm(self.model_name)
                self._served = await anyio.to_thread.run_sync(load_arm, arm)

    async def _answer(self, request: Request) -> Reply:
        """Wait for company, then answer all that wait; who comes second finds its answer there."""
        assert self._served is not None
        self._waiting.append(request)
        await anyio.sleep(GATHER_SECONDS)
        async with self._working:
            if request.reply is None:
                batch = list(self._waiting)
                await anyio.to_thread.run_sync(self._served.answer, batch)
                self._waiting = [r for r in self._waiting if r.reply is None]
        assert request.reply is not None
        return request.reply

    def _make_request(
        self, arm: FoundArm, turns: list[ChatMessage], config: GenerateConfig
    ) -> Request:
        messages = tuple(Message(turn.role, turn.text) for turn in turns if turn.role != "tool")
        seed = arm.study.evaluation.seed if config.seed is None else config.seed
        asked = ASKED.get()
        if asked is None:
            said = hashlib.sha256(repr(messages).encode(errors="surrogatepass")).hexdigest()
            key = f"{seed} {arm.id} {arm.step} {said} {self._times_asked[said]}"
            self._times_asked[said] += 1
        else:
            place = (asked.question_set, asked.question_id, asked.paraphrase, asked.repeat)
            key = name_answer(seed, arm.id, arm.step, place)
        return Request(
            messages=messages,
            key=key,
            max_tokens=config.max_tokens or DEFAULTS.max_answer_tokens,
            temperature=DEFAULTS.temperature if config.temperature is None else config.temperature,
            top_p=DEFAULTS.top_p if config.top_p is None else config.top_p,
        )

    def _make_output(self, reply: Reply, seconds: float) -> ModelOutput:
        message = ChatMessageAssistant(content=reply.text, model=self.model_name, source="generate")
        stop = "stop" if reply.finished else "max_tokens"
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=stop)],
            usage=ModelUsage(
                input_tokens=reply.prompt_tokens,
                output_tokens=reply.answer_tokens,
                total_tokens=reply.prompt_tokens + reply.answer_tokens,
            ),
            time=seconds,
        )


def _check(tools: list[ToolInfo], config: GenerateConfig) -> None:
    given = config.model_dump(exclude_none=True)
    _refuse({key: given[key] for key in given if key not in (*KNOWN, *HARMLESS)}, "cannot do")
    if tools:
        raise UserError("an arm calls no tools; take them out of the task")


def _refuse(given: dict[str, Any], what: str) -> None:
    if given:
        raise UserError(
            f"an arm {what}: {min(given)}; it knows {', '.join(KNOWN)}. For more, serve its "
            "checkpoint as hf/local (docs/inspect.md)"
        )
