"""Models trained elsewhere: each found, and checked against the study's base before any is run."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from rankshift.arms import GivenFacts
from rankshift.data.given import GivenSource, resolve_given
from rankshift.data.sources import BaseSource
from rankshift.errors import UserError
from rankshift.model.adapter_config import AdapterConfig, read_adapter_config
from rankshift.model.adapter_files import check_finite
from rankshift.model.loading import check_weights, load_skeleton
from rankshift.study import Study


@dataclass(frozen=True)
class GivenPart:
    """One model, with what its files say."""

    source: GivenSource
    facts: GivenFacts
    tokenizer: Path
    """The directory of the tokenizer it is asked with: the base's for an adapter."""
    said_base: str | None = None
    """What an adapter says it was trained on."""
    asked_over: str | None = None
    """The base it is put over, by the name it gives where that is the same."""
    warning: str | None = None
    """A line for whoever runs the study."""

    @property
    def provenance(self) -> dict[str, object]:
        """Give what the arm's provenance says of it."""
        return {
            "given": {
                "path": self.source.model.path,
                "revision": self.source.revision,
                "sha256": self.source.sha256,
                "trained_on_base": self.said_base,
                "asked_over": self.asked_over,
                "own_tokenizer": self.tokenizer == self.source.directory,
            }
        }


def find_given(study: Study, base: BaseSource, skeleton: PreTrainedModel) -> tuple[GivenPart, ...]:
    """Find the given models of a study, in its order.

    Args:
        study: What was asked.
        base: The study's.
        skeleton: The base without its weights.

    Raises:
        UserError: One is not to be had, is not safetensors, or does not fit the base.
    """
    return tuple(_find(resolve_given(model), base, skeleton) for model in study.models)


def _find(source: GivenSource, base: BaseSource, skeleton: PreTrainedModel) -> GivenPart:
    if source.method == "model":
        facts = GivenFacts(source.model.name, source.sha256, "model")
        return GivenPart(source, facts, _find_tokenizer(source, base, skeleton))
    config = read_adapter_config(source.directory, skeleton)
    check_finite(source.directory)
    facts = _describe(source, config)
    warning, asked_over = None, config.base
    if config.base not in (base.name, str(base.directory)):
        asked_over = base.name
        named = f"names {config.base} as its base" if config.base else "names no base"
        warning = f"{source.where}: it {named}; its shapes fit, so it is asked over {base.name}"
    return GivenPart(source, facts, base.directory, config.base, asked_over, warning)


def _describe(source: GivenSource, config: AdapterConfig) -> GivenFacts:
    return GivenFacts(
        name=source.model.name,
        sha256=source.sha256,
        method="adapter",
        rank=config.rank,
        alpha=config.alpha,
        scaling=config.scaling,
        target_modules=config.subset.target_modules,
        layers=config.subset.layers,
        uneven=config.uneven,
    )


def _find_tokenizer(source: GivenSource, base: BaseSource, skeleton: PreTrainedModel) -> Path:
    """Check a whole model, and say where its tokenizer is.

    One that brings none is asked with the base's, if it has as many tokens: trainers often save the
    weights alone.
    """
    own = load_skeleton(source.directory)
    check_weights(source.directory, own)
    if source.has_tokenizer:
        return source.directory
    theirs, ours = (model.config.vocab_size for model in (own, skeleton))
    if theirs != ours:
        raise UserError(
            f"{source.directory}: brings no tokenizer, and has {theirs} tokens where the base has "
            f"{ours}; put its tokenizer beside its weights"
        )
    return base.directory
