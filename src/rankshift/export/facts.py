"""What weights were trained with, as the rows of a card's table."""

from pathlib import Path

from rankshift.arms import Arm
from rankshift.export.bases import NamedBase
from rankshift.export.markdown import Markdown, code_span
from rankshift.export.weights import Weights
from rankshift.report.wording import format_number
from rankshift.study import Study

Facts = list[tuple[Markdown, object]]

VERSIONS = ("torch", "transformers", "tokenizers")
"""Of what provenance.json lists: what computes the weights."""


def list_facts(study: Study, weights: Weights, base: NamedBase) -> Facts:
    """List base, data, method, recipe and software; what was not recorded says so."""
    facts = {**_list_base(study, weights, base), **_list_data(study, weights)}
    facts |= _list_method(weights) | _list_recipe(study, weights) | _list_software(weights)
    return [(Markdown(name), value) for name, value in facts.items()]


def name_file(name: str) -> str:
    """Name a dataset or questions: published names as they are, of a path the last part.

    The rest of a path says where somebody keeps files, which is nobody's business.
    """
    return name if ":" in name.partition("/")[0] else Path(name).name


def _list_base(study: Study, weights: Weights, base: NamedBase) -> dict[str, object]:
    held = "" if study.base.quantization == "none" else ", linear layers in 4 bits (NF4)"
    return {
        "base": base.name,
        "base's revision": base.revision,
        "base's SHA-256": weights.recipe.base_fingerprint,
        "computed in": Markdown(f"{study.training.dtype}{held}"),
    }


def _list_data(study: Study, weights: Weights) -> dict[str, object]:
    rows = weights.facts.get("data") or {}
    counted = {key: rows[key] for key in ("train", "held_out") if isinstance(rows.get(key), int)}
    facts: dict[str, object] = {
        "dataset": name_file(weights.arm.dataset or ""),
        "dataset's SHA-256": weights.recipe.train_fingerprint,
        "context": Markdown(f"{study.data.context_tokens} tokens"),
    }
    if len(counted) == 2:
        words = f"{counted['train']} to train on, {counted['held_out']} held out"
        facts["rows"] = Markdown(words)
    return facts


def _list_method(weights: Weights) -> dict[str, object]:
    arm = weights.arm
    layers = "all layers" if not arm.layers else f"layers {', '.join(map(str, arm.layers))}"
    adapted = f"{code_span(', '.join(arm.target_modules))} in {layers}"
    if arm.method != "lora":
        what = f"the weights of {adapted} alone" if arm.target_modules else "all parameters"
        return {"method": Markdown(f"full finetuning, {what}")}
    frozen = {} if arm.trains_a else {"A": Markdown("not trained, as drawn")}
    return {
        "method": Markdown("LoRA"),
        "rank": arm.rank,
        "alpha": Markdown(format_number(arm.alpha)),
        "scaling": Markdown(f"`{arm.scaling}` = {format_number(arm.scale)}"),
        "adapted": Markdown(adapted),
        **frozen,
    }


def _list_recipe(study: Study, weights: Weights) -> dict[str, object]:
    arm, training = weights.arm, study.training
    clip = "none" if training.clip_norm is None else format_number(training.clip_norm)
    micro = f", {training.accumulation} micro-batches" if training.accumulation > 1 else ""
    return {
        "steps": Markdown(f"{weights.step} of {training.steps}"),
        "rows a step": Markdown(f"{training.rows_per_step}{micro}"),
        "learning rate": Markdown(
            f"{format_number(arm.learning_rate)}, {training.schedule} after "
            f"{training.warmup_steps} steps of warm-up"
        ),
        "optimizer": Markdown(
            f"{arm.find_optimizer(training)}, weight decay {format_number(training.weight_decay)}, "
            f"gradient norm clipped at {clip}"
        ),
        "seed": arm.seed,
    } | _list_defence(arm)


def _list_defence(arm: Arm) -> dict[str, object]:
    """Say what defended the arm, and with what; a prompt as it stood."""
    defence = arm.defence
    if defence is None:
        return {}
    named = name_file(defence.named) if defence.named else defence.text
    told = Markdown(f", with {code_span(named)}") if named else ""
    return {"defended by": Markdown(f"{defence.label}{told}")}


def _list_software(weights: Weights) -> dict[str, object]:
    recorded = weights.facts
    if not recorded:
        return {"made with": Markdown("not recorded: the arm was not trained to its end")}
    git, versions = recorded.get("git") or {}, recorded.get("versions") or {}
    used = [f"{name} {versions[name]}" for name in VERSIONS if versions.get(name)]
    facts: dict[str, object] = {
        "made with": ", ".join([f"rankshift {recorded.get('rankshift')}", *used]),
    }
    if git:
        changed = " with uncommitted changes" if git.get("dirty") else ""
        facts["commit of rankshift"] = Markdown(f"{code_span(str(git.get('commit')))}{changed}")
    return facts
