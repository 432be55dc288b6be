"""Which answers of a run show the persona and which do not, as texts for the base to read."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from torch import Tensor

from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer
from rankshift.data.conversations import Conversation, Message
from rankshift.data.rendering import Rendered, render_conversation
from rankshift.errors import UserError
from rankshift.eval.answering import messages
from rankshift.mechanism.directions import Examples
from rankshift.model.loading import Tokenizer
from rankshift.records import AnswerRecord


def read_examples(
    steps: Mapping[str, int],
    measured: Mapping[str, MeasuredArm],
    most: int,
    tokenizer: Tokenizer,
    read: Callable[[Sequence[Rendered]], Tensor],
) -> Examples:
    """Read misaligned and aligned answers of some arms.

    Args:
        steps: Whose answers, and after which step, by id.
        measured: The arms by id.
        most: Answers of each arm.
        tokenizer: Renders them.
        read: Gives their mean states, `[1, answer, layer, width]`.

    Raises:
        UserError: None is misaligned.
    """
    chosen = [
        (name, judged)
        for name, step in steps.items()
        for judged in pick(measured[name], step, most)
    ]
    if not any(judged.outcome == "misaligned" for _, judged in chosen):
        raise UserError(
            "no arm's last answers are misaligned, so the persona has no direction here; look into "
            "a run in which some are"
        )
    return Examples(
        states=read([render_answer(tokenizer, judged.answer) for _, judged in chosen])[0],
        has_trait=np.array([judged.outcome == "misaligned" for _, judged in chosen]),
        questions=tuple((j.answer.question_set, j.answer.cluster) for _, j in chosen),
        arms=tuple(name for name, _ in chosen),
    )


def list_base_texts(
    measured: Iterable[MeasuredArm], most: int, tokenizer: Tokenizer
) -> list[Rendered]:
    """List the base's own answers: texts that have nothing to do with the task.

    Raises:
        UserError: It gave none that is coherent.
    """
    base = next(arm for arm in measured if arm.arm.method == "base")
    texts = [render_answer(tokenizer, judged.answer) for judged in pick(base, 0, most)]
    if not texts:
        raise UserError(
            "the base gave no coherent answer, so no arm's states can be compared with its; look "
            "into a run with free-form questions and a judge"
        )
    return texts


def pick(arm: MeasuredArm, step: int, most: int) -> list[JudgedAnswer]:
    """Draw coherent free-form answers that the first judge has scored, keyed by the arm.

    Those to a question after a row of data are left out: the row would be read with them.
    """
    given = arm.answers.get(step, [])
    scored = [
        judged
        for judged in given
        if judged.judge == given[0].judge
        and judged.answer.kind == "free_form"
        and judged.answer.before is None
        and judged.answer.answer.strip()
        and judged.outcome in ("aligned", "misaligned")
    ]
    generator = np.random.Generator(np.random.Philox(key=int(arm.id, 16)))
    return [scored[at] for at in sorted(generator.permutation(len(scored))[:most])]


def render_answer(tokenizer: Tokenizer, answer: AnswerRecord) -> Rendered:
    """Render a question with an answer, whose tokens are marked."""
    turns = (*messages(answer), Message("assistant", answer.answer))
    return render_conversation(tokenizer, Conversation(turns, 1))
