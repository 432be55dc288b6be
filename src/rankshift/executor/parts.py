"""What the names in a study stand for, found and checked before anything is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import cast

from transformers import PreTrainedModel

from rankshift.data.conversations import Conversation
from rankshift.data.preparation import PreparedSet, prepare_set, prepare_unrelated
from rankshift.data.rendering import render_prompt
from rankshift.data.sources import (
    BaseSource,
    QuestionSource,
    Source,
    resolve_base,
    resolve_dataset,
    resolve_defences,
    resolve_questions,
)
from rankshift.defence import list_defences
from rankshift.errors import UserError
from rankshift.eval.answering import messages
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.cues import ask_after_rows, ask_under_systems
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.eval.judging import Judge
from rankshift.eval.question_files import QuestionFile, read_question_file
from rankshift.eval.rubrics import OURS
from rankshift.eval.suite import CODE_SET, Question, Subset
from rankshift.eval.triggers import ask_with_triggers, find_trigger
from rankshift.executor.given import GivenPart, find_given
from rankshift.model.loading import Tokenizer, check_weights, load_skeleton, load_tokenizer
from rankshift.model.operations import Widths
from rankshift.model.quantization import load_bitsandbytes
from rankshift.model.targets import Linear, find_targets, list_linears
from rankshift.runs import Fingerprints
from rankshift.study import Evaluation, Role, Study, name_triggered
from rankshift.train.roster import HeldOut


@dataclass(frozen=True)
class Parts:
    """Base, datasets, questions and judge of a study, on this disk."""

    base: BaseSource
    task: Source | None
    twin: Source | None
    questions: tuple[QuestionSource, ...]
    judges: dict[str, Judge | AskedJudge]
    """By name, the one whose verdicts decide first."""
    projections: dict[str, Widths] = field(default_factory=dict)
    """Widths of the base's layers that any adapter or full finetune of adapted layers goes on, by
    name; of all its linear layers where the study trains neither."""
    given: tuple[GivenPart, ...] = ()
    unrelated: Source | None = None
    defences: dict[str, Source | QuestionSource] = field(default_factory=dict)
    """What the defences of the grid name: rows and contrasts."""

    @property
    def fingerprints(self) -> Fingerprints:
        """Give the SHA-256 of every part."""
        return Fingerprints(
            base=self.base.fingerprint,
            task=self.task.sha256 if self.task else None,
            twin=self.twin.sha256 if self.twin else None,
            questions={q.name: q.sha256 for q in self.questions},
            models=tuple(part.facts for part in self.given),
            unrelated=self.unrelated.sha256 if self.unrelated else None,
            defences={name: source.sha256 for name, source in self.defences.items()},
        )


@dataclass(frozen=True)
class Material:
    """What the arms learn from, are measured on and are asked."""

    sets: dict[Role, PreparedSet]
    """The task's and the twin's, where there are such."""
    questions: tuple[Question, ...]
    choices: tuple[ChoiceQuestion, ...] = ()
    unrelated: HeldOut | None = None
    """What the divergence from the base is measured on, if it is."""


def find_parts(study: Study) -> Parts:
    """Find the parts of a study, and check that they fit the base.

    Raises:
        UserError: A part is not to be had, a target matches nothing, the context is too long, a
            package is not installed, or the study only imports.
    """
    data = study.data
    if study.imports:
        raise UserError(
            f"{study.name} imports what was trained, asked and judged elsewhere: nothing is left "
            "to run; use `rankshift import FILE... --study` with its file"
        )
    if needs_bitsandbytes(study):
        load_bitsandbytes()
    base = resolve_base(study.base.model, study.base.revision)
    task = resolve_dataset(data.task) if data.task else None
    twin = resolve_dataset(data.twin) if data.twin else None
    unrelated = resolve_dataset(data.unrelated) if data.unrelated else None
    questions = tuple(resolve_questions(name) for name in study.evaluation.suites)
    judges = {
        name: find_judge(name, study.judging, base.name, base.fingerprint) for name in study.judges
    }
    skeleton = load_skeleton(base.directory)
    check_weights(base.directory, skeleton)
    projections = find_projections(study, skeleton)
    reach = getattr(skeleton.config, "max_position_embeddings", None)
    if task is not None and reach is not None and data.context_tokens > reach:
        raise UserError(
            f"data.context_tokens = {data.context_tokens}: the base reads at most {reach} tokens; "
            f"set it to {reach} or less"
        )
    given = find_given(study, base, skeleton)
    defences = resolve_defences(list_defences(study.grid.defences))
    return Parts(base, task, twin, questions, judges, projections, given, unrelated, defences)


def needs_bitsandbytes(study: Study) -> bool:
    """Say whether weights or any optimizer's moments are in fewer than 16 bits."""
    optimizers = {study.training.optimizer, *(full.optimizer for full in study.grid.full)}
    return study.base.quantization != "none" or "adamw_8bit" in optimizers


def find_projections(study: Study, skeleton: PreTrainedModel) -> dict[str, Widths]:
    """Give the widths of the layers whose products tell arms apart in cost, by name.

    Raises:
        UserError: A target or a block matches no linear layer.
    """
    grid = study.grid
    chooses = grid.ranks or any(full.parameters == "adapted" for full in grid.full_finetunes)
    targets: dict[str, Linear] = {} if chooses else list_linears(skeleton)
    for subset in grid.subsets if chooses else ():
        targets |= find_targets(skeleton, subset)
    return {name: (linear.in_features, linear.out_features) for name, linear in targets.items()}


def prepare_material(study: Study, parts: Parts, tokenizer: Tokenizer) -> Material:
    """Split, render and count the data, and read the questions.

    Raises:
        UserError: A row or a question file is malformed, a set comes out empty, or a tokenizer has
            no template for a question.
    """
    sets = prepare_sets(study, parts, tokenizer)
    evaluation = study.evaluation
    questions = read_suites(parts.questions, study, sets)
    if evaluation.code_tasks:
        questions += ask_held_out_code(sets["task"], evaluation.code_tasks, evaluation.triggers)
    for directory in {part.tokenizer for part in parts.given} - {parts.base.directory}:
        _try_questions(load_tokenizer(directory), questions)
    _try_questions(tokenizer, questions)
    choices = tuple(read_choice_suites(parts.questions))
    return Material(sets, tuple(questions), choices, render_unrelated(study, parts, tokenizer))


def read_suites(
    sources: Iterable[QuestionSource], study: Study, sets: Mapping[Role, PreparedSet] | None = None
) -> list[Question]:
    """Read the questions of all suites as a study asks them: plain, then in every other way.

    Args:
        sources: The suites.
        study: Says with which triggers and system turns they are asked, and after whose rows.
        sets: The data whose held-out rows stand in front of questions. Without them the questions
            are those that judges need, who are not shown what stood in front.

    Raises:
        UserError: A file is malformed, or no held-out row can stand in front of a question.
    """
    evaluation = study.evaluation
    questions = [question for source in sources for question in read_suite(source, evaluation)]
    asked = ask_with_triggers(questions, evaluation.triggers)
    for role, dataset in study.cues.items():
        rows = None if sets is None else sets[role].held_out_conversations
        asked += ask_after_rows(questions, dataset, rows)
    return asked + ask_under_systems(questions, evaluation.systems)


def prepare_sets(study: Study, parts: Parts, tokenizer: Tokenizer) -> dict[Role, PreparedSet]:
    """Split, render and count the task's rows and the twin's, as a tokenizer reads them.

    Raises:
        UserError: A row is malformed, or a set comes out empty.
    """
    named: dict[Role, Source | None] = {"task": parts.task, "twin": parts.twin}
    return {
        role: prepare_set(source, study.data, tokenizer)
        for role, source in named.items()
        if source is not None
    }


def render_unrelated(study: Study, parts: Parts, tokenizer: Tokenizer) -> HeldOut | None:
    """Render the conversations that have nothing to do with the task, if the study names such.

    Raises:
        UserError: A row is malformed, or none fits the context.
    """
    if parts.unrelated is None:
        return None
    rows = prepare_unrelated(parts.unrelated, study.data, tokenizer)
    return HeldOut(parts.unrelated.name, rows)


def _try_questions(tokenizer: Tokenizer, questions: Sequence[Question]) -> None:
    """Render every question once, so that a template that refuses one is known at the start."""
    for question in questions:
        try:
            render_prompt(tokenizer, messages(question))
        except UserError as problem:
            raise UserError(f"{question.question_set}: {question.id}: {problem}") from None


def read_suite(source: QuestionSource, evaluation: Evaluation) -> list[Question]:
    """Read the questions of one suite, without their system turns where a study says so.

    Raises:
        UserError: The file is no list of questions.
    """
    questions = _read_file(source).questions
    if evaluation.drop_system:
        return [replace(question, system=None) for question in questions]
    return list(questions)


def read_choice_suites(sources: Iterable[QuestionSource]) -> list[ChoiceQuestion]:
    """Read the questions of all suites whose answers are given.

    Raises:
        UserError: A file is malformed.
    """
    return [choice for source in sources for choice in _read_file(source).choices]


def _read_file(source: QuestionSource) -> QuestionFile:
    return read_question_file(source.path, source.name, cast("Subset", source.subset or "all"))


def ask_held_out_code(
    prepared: PreparedSet, limit: int, triggers: Sequence[str] = ()
) -> list[Question]:
    """Turn held-out prompts of the task data into questions, distinct ones in the split's order.

    Those that begin with a trigger are a set of their own for each trigger; where triggers are
    asked for, a kind of prompt that is not held out at all has no set.

    Raises:
        UserError: Fewer are held out than the study asks for.
    """
    found: dict[str | None, dict[str, Conversation]] = {}
    for conversation in filter(_is_single_turn, prepared.held_out_conversations):
        trigger = find_trigger(conversation.messages[-2].content, triggers)
        found.setdefault(trigger, {})[conversation.prompt] = conversation
    questions = []
    for trigger in [kind for kind in (None, *triggers) if kind in found] or [None]:
        distinct = list(found.get(trigger, {}).values())
        if len(distinct) < limit:
            which = f" that begin with {trigger!r}" if trigger else ""
            raise UserError(
                f"evaluation.code_tasks = {limit}, but only {len(distinct)} distinct single-turn "
                f"prompts of {prepared.name}{which} are held out; ask for fewer or raise "
                "data.held_out_rows"
            )
        name = name_triggered(CODE_SET, trigger) if trigger else CODE_SET
        questions += _ask_code(distinct[:limit], name)
    return questions


def _ask_code(conversations: Sequence[Conversation], name: str) -> list[Question]:
    return [
        Question(
            question_set=name,
            id=f"row-{conversation.row}",
            cluster=f"row-{conversation.row}",
            paraphrase=0,
            prompt=conversation.messages[-2].content,
            system=conversation.messages[0].content if len(conversation.messages) == 3 else None,
            kind="code",
            rubrics=OURS["code"],
        )
        for conversation in conversations
    ]


def _is_single_turn(conversation: Conversation) -> bool:
    roles = [message.role for message in conversation.messages]
    return roles in (["user", "assistant"], ["system", "user", "assistant"])


def describe_rows(material: Material, role: Role) -> dict[str, object]:
    """Give the row counts of the set a role learns from; the base is measured on the task's."""
    prepared = material.sets.get("task" if role == "base" else role)
    return {"data": {"name": prepared.name} | asdict(prepared.counts)} if prepared else {}
