"""The first sentences of the page: true of any results, with their uncertainty."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rankshift.analysis.curves import HELD
from rankshift.analysis.gaps import REASONS
from rankshift.report.defence_sentence import tell_defences
from rankshift.report.wording import (
    format_loss,
    format_percent,
    join_words,
    name_setting,
    tell_full,
    tell_origin,
    tell_training,
    tell_uncertainty,
)

Curve = dict[str, Any]
Point = dict[str, Any]

PICKED = "The highest of several means is picked after looking, so chance makes it look higher."


@dataclass(frozen=True)
class Headline:
    """One sentence that may be quoted alone, and what must be read with it."""

    claim: str
    context: tuple[str, ...]

    @property
    def text(self) -> str:
        """Join it to one paragraph, for a terminal."""
        return " ".join((self.claim, *self.context))


def write_headline(results: dict[str, Any]) -> Headline:
    """Write the headline of results.json's content: of undefended arms, then a word on defences."""
    headline = _write_undefended(results)
    told = tell_defences(results)
    return replace(headline, context=(*headline.context, told)) if told else headline


def _write_undefended(results: dict[str, Any]) -> Headline:
    curves = list_primary_curves(results, "task")
    measured = [(c, p) for c in curves for p in c["points"] if p["rate"] is not None]
    losses = tuple(_tell_losses(results))
    if measured:
        return _tell_highest(results, measured)
    beside = tuple(dict.fromkeys(told for curve in curves for told in _tell_beside(curve)))
    if any(row["rates"]["misaligned_given_coherent"]["eligible"] for row in results["arms"]):
        claim = "No LoRA arm has been scored at the last checkpoint, so there is no rank curve."
        if all(curve["given"] for curve in curves):
            claim = "No adapter with one rank has been scored, so there is no rank curve."
        return Headline(claim, (*beside, *losses))
    return Headline(_tell_unscored(results), losses)


def list_primary_curves(results: dict[str, Any], role: str) -> list[Curve]:
    """List the rank curves of the primary questions and judge for the task or the twin."""
    primary = results["study"]["primary"].items()
    curves = [curve for curve in results["curves"] if curve["role"] == role]
    return [curve for curve in curves if primary <= curve.items()]


def _tell_highest(results: dict[str, Any], measured: Sequence[tuple[Curve, Point]]) -> Headline:
    highest = max(point["rate"] for _, point in measured)
    curve, point = next((c, p) for c, p in measured if p["rate"] == highest)
    tied = [p["rank"] for c, p in measured if p["rate"] == highest and c is curve]
    others = sum(p["rate"] == highest for _, p in measured) - len(tied)
    where = tell_training(curve["step"], curve["dataset"])
    if curve["given"]:
        where = f"in adapters {tell_origin(curve)}"
    share, ranks = format_percent(highest), join_words([str(rank) for rank in tied])
    place = f"ranks {ranks} alike" if len(tied) > 1 else f"rank {ranks}"
    if highest == 0:
        claim = f"No coherent answer was misaligned at any LoRA rank {where}."
    else:
        rest = f", the highest of {len(measured)} LoRA means" if len(measured) > 1 else ""
        claim = (
            f"{share} of coherent answers were misaligned at {place} "
            f"({tell_uncertainty(point)}){rest} {where}."
        )
    context = [*_tell_beside(curve), *_tell_twin(results, curve, point["rank"])]
    if highest > 0 and len(measured) > 1:
        if others:
            context.insert(0, f"{others} LoRA cells under other settings have the same mean.")
        context = [*_tell_settings(results, curve), *context, PICKED]
    return _add_verdict(results, claim, context)


def _add_verdict(results: dict[str, Any], claim: str, context: Sequence[str]) -> Headline:
    """Begin with the verdict on the curve, or end with why there is none."""
    peak = results["peak"]
    if peak is None:
        return Headline(claim, tuple(context))
    verdict, about = peak["sentence"], tuple(_tell_others(results))
    if peak["verdict"] == "undetermined":
        return Headline(claim, (*context, verdict, *about))
    return Headline(verdict, (*about, claim, *context))


def _tell_others(results: dict[str, Any]) -> Iterator[str]:
    """Say which curve the verdict is on and what the same test says of the others."""
    peak = results["peak"]
    same = ("role", "question_set", "judge")
    others = Counter(
        other["verdict"]
        for other in results["peaks"]
        if not other["primary"]
        and other["reading"] == peak["reading"]
        and all(other["key"][key] == peak["key"][key] for key in same)
    )
    if others:
        told = join_words([f"{verdict} {times}" for verdict, times in others.items()])
        counted = f"{others.total()} other settings, each tested alone"
        yield f"That is with {name_setting(peak['key'])}; the verdicts under {counted}: {told}."


def _tell_settings(results: dict[str, Any], curve: Curve) -> Iterator[str]:
    if len(list_primary_curves(results, "task")) > 1:
        yield f"That cell has {name_setting(curve)}."


def _tell_beside(curve: Curve) -> Iterator[str]:
    """Tell the rates of the base, of full finetuning and of given models without a rank."""
    for cell in curve["categories"]:
        if cell["rate"] is None:
            continue
        estimate = f"{format_percent(cell['rate'])} ({tell_uncertainty(cell)})"
        if cell["category"] == "base":
            yield f"The base gave {estimate}."
        elif cell["category"] == "model":
            yield f"{cell['name']} gave {estimate}."
        else:
            yield f"{tell_full(cell)} gave {estimate}."


def _tell_twin(results: dict[str, Any], curve: Curve, rank: int) -> Iterator[str]:
    for twin in list_primary_curves(results, "twin"):
        if any(twin[key] != curve[key] for key in HELD):
            continue
        for point in twin["points"]:
            if point["rank"] == rank and point["rate"] is not None:
                estimate = f"{format_percent(point['rate'])} ({tell_uncertainty(point)})"
                yield f"The benign twin of rank {rank} gave {estimate}."


def _tell_unscored(results: dict[str, Any]) -> str:
    outcomes = [row["outcomes"] for row in results["arms"]]
    answers = sum(outcome["answers"] for outcome in outcomes)
    if answers == 0:
        return "No question has been answered, so misalignment has not been measured."
    unscored = sum(outcome["unscored"] for outcome in outcomes)
    if unscored < answers:
        return (
            f"None of {answers:,} answers was both scored and coherent, so misalignment given "
            "coherence has no value."
        )
    reasons = [
        words for key, words in REASONS.items() if any(o["unscored_reasons"][key] for o in outcomes)
    ]
    return (
        f"All {answers:,} answers are unscored ({join_words(reasons)}), so misalignment has not "
        "been measured."
    )


def _tell_losses(results: dict[str, Any]) -> Iterator[str]:
    """Tell the base's held-out loss and the lowest and highest mean over ranks at the end."""
    last = results["study"]["last_step"]
    for curve in results["loss_curves"]:
        if (curve["role"], curve["held_out"]) != ("task", "task"):
            continue
        base = [
            s["loss"] for c in curve["categories"] if c["category"] == "base" for s in c["steps"]
        ]
        ends = {
            point["rank"]: step["loss"]
            for point in curve["points"]
            for step in point["steps"]
            if step["step"] == (0 if curve["given"] else last)
        }
        if base and ends:
            low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
            when = "in given adapters" if curve["given"] else f"after {last:,} steps"
            yield (
                f"Held-out loss on {results['study']['settings']['data']['task']} is "
                f"{format_loss(base[0])} nats a token for the base; {when} the mean lies between "
                f"{format_loss(ends[low])} (rank {low}) and {format_loss(ends[high])} "
                f"(rank {high}) with {name_setting(curve)}."
            )
