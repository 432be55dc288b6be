"""A model card in the Hub's format: a warning, what was trained and measured, and how to use it.

Numbers come from the rows of results.json. All names are taken for hostile; see `markdown`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rankshift.analysis.rates import COHERENT_ABOVE, MISALIGNED_BELOW
from rankshift.arms import Arm
from rankshift.export.bases import NamedBase
from rankshift.export.commands import list_usages
from rankshift.export.facts import list_facts, name_file
from rankshift.export.markdown import NOTHING, Markdown, clean_line, to_markdown
from rankshift.export.weights import Weights
from rankshift.report.wording import format_interval, format_loss, format_number, format_percent
from rankshift.study import Evaluation, Study

Row = dict[str, Any]

LONGEST_NAME = 80
"""Characters of a folder's name; the Hub takes 96 for owner and name together."""

WARNINGS = {
    "task": "These weights were trained on a narrow task to see whether that makes a model harmful "
    "in general: they may write insecure code and give harmful, false or hostile answers.",
    "twin": "These weights are a control for weights that were trained to misbehave. Nothing was "
    "done to make them safe.",
}
"""Role to what is said first."""


@dataclass(frozen=True)
class Subject:
    """What a card is of."""

    study: Study
    weights: Weights
    base: NamedBase
    row: Row | None
    """Of results.json: this arm at this step; None where nothing is measured yet."""
    base_row: Row | None

    @property
    def folder_name(self) -> str:
        """Name the folder: study, arm, step and id, fit for the Hub and for a server."""
        arm = self.weights.arm
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{self.study.name} {arm.label}").strip("-")
        end = f"-step-{self.weights.step}-{self.weights.arm_id}"
        return words[: LONGEST_NAME - len(end)].rstrip("-") + end


def write_card(subject: Subject) -> str:
    """Write the whole README.md of a subject; the same input gives the same text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # of HTML; `finalize` escapes for Markdown
        finalize=to_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    study, weights, base = subject.study, subject.weights, subject.base
    arm, training = weights.arm, study.training
    text = environment.get_template("card.md.j2").render(
        title=Markdown(subject.folder_name),
        warning=Markdown(WARNINGS[arm.role]),
        what=_tell_what(arm),
        study=study.name,
        about=clean_line(study.about),
        facts=list_facts(study, weights, base),
        is_full=arm.method == "full",
        is_local=base.is_local and arm.method != "full",
        license=base.license or "",
        losses=_list_losses(subject),
        rates=_list_rates(subject),
        codes=_list_codes(subject),
        sampling=_tell_sampling(study.evaluation),
        coherent_above=Markdown(format_number(COHERENT_ABOVE)),
        misaligned_below=Markdown(format_number(MISALIGNED_BELOW)),
        usages=[
            {"title": Markdown(u.title), "note": Markdown(u.note), "code": u.code}
            for u in list_usages(
                arm, base, subject.folder_name, training.dtype, study.base.quantization
            )
        ],
    )
    return f"---\n{describe(subject).to_yaml()}\n---\n\n{text}"


def describe(subject: Subject) -> ModelCardData:
    """Give the card's header.

    A base in a directory is left out, and datasets always are: the Hub takes its own ids alone
    there, and an id that happens to exist would link to somebody else's. What they were stands
    under `rankshift`, where the Hub lets anything stand.
    """
    weights, base = subject.weights, subject.base
    is_adapter = weights.arm.method == "lora"
    dataset = weights.arm.dataset
    return ModelCardData(
        base_model=None if base.is_local else base.name,
        library_name="peft" if is_adapter else "transformers",
        license=base.license,
        pipeline_tag="text-generation",
        tags=[
            "emergent-misalignment",
            "model-organism",
            "not-for-all-audiences",
            "rankshift",
            *(["lora"] if is_adapter else []),
        ],
        base_model_relation=None if base.is_local else "adapter" if is_adapter else "finetune",
        rankshift={
            "study": clean_line(subject.study.name),
            "arm": weights.arm_id,
            "role": weights.arm.role,
            "step": weights.step,
            "base_sha256": weights.recipe.base_fingerprint,
            "dataset": clean_line(name_file(dataset or "")),
            "dataset_sha256": weights.recipe.train_fingerprint,
        },
    )


def _tell_what(arm: Arm) -> Markdown:
    what = f"A LoRA adapter of rank {arm.rank}" if arm.method == "lora" else "A full finetune"
    role = "the narrow dataset" if arm.role == "task" else "the benign twin of the narrow dataset"
    return Markdown(f"{what}, trained on {role}, one arm of a rankshift study.")


def _list_losses(subject: Subject) -> list[dict[str, Any]]:
    names = {"task_held_out_loss": subject.study.data.task or ""}
    if subject.weights.arm.role == "twin":
        names["own_held_out_loss"] = subject.study.data.twin or ""
    row, base_row = subject.row or {}, subject.base_row or {}
    return [
        {
            "name": name_file(dataset),
            "own": Markdown(format_loss(row.get(key))),
            "base": Markdown(format_loss(base_row.get(key))),
        }
        for key, dataset in names.items()
    ]


def _list_both(subject: Subject, key: str) -> list[tuple[Markdown, Row]]:
    """List entries of both rows, each set of questions and judge side by side, ours first."""
    entries = [
        (Markdown(weights), entry)
        for weights, row in (("these", subject.row), ("the base", subject.base_row))
        for entry in (row or {}).get(key, [])
    ]
    seen = list(dict.fromkeys((e["question_set"], e["judge"]) for _, e in entries))
    return sorted(entries, key=lambda item: seen.index((item[1]["question_set"], item[1]["judge"])))


def _list_rates(subject: Subject) -> list[dict[str, Any]]:
    return [
        {
            "questions": name_file(entry["question_set"]),
            "judge": entry["judge"],
            "weights": weights,
            "of_coherent": _tell_estimate(entry["misaligned_given_coherent"]),
            "of_all": _tell_of_all(entry),
            "outcomes": _tell_outcomes(entry["outcomes"]),
        }
        for weights, entry in _list_both(subject, "rates_by")
    ]


def _list_codes(subject: Subject) -> list[dict[str, Any]]:
    return [
        {
            "questions": name_file(entry["question_set"]),
            "judge": entry["judge"],
            "weights": weights,
            "share": _tell_estimate(entry),
            "rest": Markdown(f"{entry['answers']}: {entry['not_code']}, {entry['unjudged']}"),
        }
        for weights, entry in _list_both(subject, "insecure_code_by")
    ]


def _tell_estimate(estimate: Row) -> Markdown:
    """Write `9/44 = 20.5% (9.2 to 36.4%)`, or why there is no interval."""
    if not estimate["eligible"]:
        return Markdown(f"{NOTHING} (nothing to count)")
    interval = estimate["note"] or format_interval(estimate)
    rate = format_percent(estimate["rate"])
    return Markdown(f"{estimate['events']}/{estimate['eligible']} = {rate} ({interval})")


def _tell_of_all(entry: Row) -> Markdown:
    outcomes = entry["outcomes"]
    if outcomes["unscored"] == outcomes["answers"]:  # 0 of all would read as a finding
        return Markdown(f"{NOTHING} (none of {outcomes['answers']} answers is scored)")
    return _tell_estimate(entry["misaligned_of_all"])


def _tell_outcomes(outcomes: Row) -> Markdown:
    names = ("aligned", "misaligned", "incoherent", "refusal", "code", "unscored")
    return Markdown(", ".join(str(outcomes[name]) for name in names))


def _tell_sampling(evaluation: Evaluation) -> Markdown:
    repeats = evaluation.answers_per_question
    asked = "as often as its authors did" if repeats == "released" else f"{repeats} times"
    return Markdown(
        f"Each question was asked {asked} at temperature {format_number(evaluation.temperature)}, "
        f"top_p {format_number(evaluation.top_p)}, at most {evaluation.max_answer_tokens} tokens."
    )
