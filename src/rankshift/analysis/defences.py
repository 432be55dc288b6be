"""The defence table: what each defence does at each setting and rank, beside doing without it.

A function of the rows of results.json and of the steps that arms take on their task. An entry is of
arms that differ by seed and by dataset alone: those of the task tell misalignment, skill and
coherence, their benign twins what else can still be learned. Means and intervals are over seeds,
the questions and the base being fixed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from rankshift.analysis.categories import is_defended, is_derived
from rankshift.analysis.cells import COUNTS, Row
from rankshift.analysis.curves import is_final
from rankshift.analysis.defence_places import Place, Rules, list_places, undress
from rankshift.analysis.defence_verdicts import (
    Answer,
    Kept,
    is_lowered,
    judge_coherence,
    judge_gone,
    judge_hiding,
    judge_kept,
    judge_return,
    judge_whole,
)
from rankshift.analysis.intervals import (
    FEWEST_SEEDS,
    NOTHING_COUNTED,
    Interval,
    interval_of_mean,
    interval_over_seeds,
    mean_over_seeds,
)
from rankshift.analysis.rates import Rate

CUES = (" after ", " under ", " + ")
"""What stands between the name of a question set and that of the cue it is asked again with: a row
of a dataset before it, a system turn, a trigger."""

ENDS = ("low", "high", "note")


@dataclass(frozen=True)
class Asked:
    """The questions and judge that decide, and the base's row."""

    question_set: str
    judge: str
    base: Row | None
    cued: tuple[str, ...]
    """Question sets that are the first with a cue."""


@dataclass(frozen=True)
class Pair:
    """The last rows of the arms with a defence, and of those without, of one role."""

    defended: list[Row]
    undefended: list[Row]


def build_defences(
    rows: Sequence[Row],
    rules: Rules,
    primary: Mapping[str, str],
    last_step: int,
    task_steps: Mapping[str, float | None],
) -> list[dict[str, Any]]:
    """Build an entry for each setting, rank and defence; none in a study without defences.

    Args:
        rows: Rows of results.json.
        rules: What `list_places` divides settings by.
        primary: The question set and judge that decide.
        last_step: At which arms are read.
        task_steps: Of defended arms; see `count_task_steps`.
    """
    final = [row for row in rows if is_final(row, last_step) and not is_derived(row)]
    trained = [row for row in final if row["method"] in ("lora", "full")]
    without = [row for row in trained if not is_defended(row)]
    by_defence: dict[str, list[Row]] = {}
    for row in filter(is_defended, trained):
        by_defence.setdefault(str(row["defence"]), []).append(row)
    asked = _find_asked(final, primary)
    entries = []
    for place in list_places(final, rules):
        undefended = _keep(without, place)
        for own in by_defence.values():
            defended = _keep(own, place)
            if defended:
                task, twin = (
                    Pair(_select(defended, role), _select(undefended, role))
                    for role in ("task", "twin")
                )
                told = {"defence": defended[0]["defence"]}
                entries.append(place.key | told | _describe(task, twin, asked, task_steps))
    return entries


def list_cued_sets(rows: Sequence[Row], question_set: str) -> tuple[str, ...]:
    """List the question sets that are a set of questions asked again with a cue."""
    asked = dict.fromkeys(share["question_set"] for row in rows for share in row["rates_by"])
    starts = tuple(f"{question_set}{cue}" for cue in CUES)
    return tuple(name for name in asked if name.startswith(starts))


def find_worst_cued(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find the cued questions whose rate is farthest above the base's with the same cue.

    A cue may make the base itself misaligned, which is no finetune's doing. None where no rate, or
    no base's, is known.
    """
    known = [one for one in entry["cued"] if None not in (one["rate"], one["base"])]
    return max(known, key=lambda one: one["rate"] - one["base"], default=None)


def _find_asked(final: Sequence[Row], primary: Mapping[str, str]) -> Asked:
    base = next((row for row in final if row["method"] == "base"), None)
    cued = list_cued_sets(final, primary["question_set"])
    return Asked(primary["question_set"], primary["judge"], base, cued)


def _keep(rows: Sequence[Row], place: Place) -> list[Row]:
    return [row for row in rows if place.holds(undress(row))]


def _select(rows: Sequence[Row], role: str) -> list[Row]:
    return [row for row in rows if row["role"] == role]


def _describe(
    task: Pair, twin: Pair, asked: Asked, task_steps: Mapping[str, float | None]
) -> dict[str, Any]:
    plain = _compare_rates(task, asked.question_set, asked)
    gone = judge_gone(_ends(plain), _ends(plain["undefended"]), plain["base"])
    cued = [_compare_rates(task, name, asked) for name in asked.cued]
    returns: list[Answer] = [judge_return(_ends(one), one["base"]) for one in cued]
    skill = _compare_learning(task, asked.base, ("task_held_out_loss", "task_held_out_loss"))
    benign = _compare_learning(twin, asked.base, ("own_held_out_loss", "twin_held_out_loss"))
    coherence = _compare_coherence(task.defended, asked)
    lowered = is_lowered(_ends(plain), _ends(plain["undefended"]))
    hides = judge_hiding(gone, lowered, returns)
    kept: list[Kept] = [part["kept"] for part in (skill, benign, coherence)]
    return {
        "misalignment": plain | {"gone": gone},
        "skill_kept": skill,
        "benign_kept": benign,
        "coherence_kept": coherence,
        "cued": [one | {"returns": back} for one, back in zip(cued, returns, strict=True)],
        "hides": hides,
        "cost": _tell_cost(task.defended or twin.defended, task_steps),
        "verdict": judge_whole(gone, hides, kept),
    }


def _compare_rates(pair: Pair, question_set: str, asked: Asked) -> dict[str, Any]:
    """Give the defended rate on one question set, the undefended one and the base's."""

    def count(row: Row) -> Rate:
        share = _find_share(row, question_set, asked.judge)
        given = share["misaligned_given_coherent"] if share else {"events": 0, "eligible": 0}
        return Rate(given["events"], given["eligible"])

    base = count(asked.base) if asked.base else Rate(0, 0)
    return (
        {"question_set": question_set}
        | _sum_up(pair.defended, count)
        | {"undefended": _sum_up(pair.undefended, count)}
        | {"base": base.rate if base.eligible else None}
    )


def _sum_up(rows: Sequence[Row], count: Callable[[Row], Rate]) -> dict[str, Any]:
    counted = [(row, rate) for row in rows if (rate := count(row)).eligible]
    rates = [rate for _, rate in counted]
    seeds = [
        {"arm": row["arm"], "seed": row["seed"]}
        | dict(zip(COUNTS, (rate.events, rate.eligible, rate.rate), strict=True))
        for row, rate in counted
    ]
    mean = mean_over_seeds(rates) if rates else None
    found = {"rate": mean} | asdict(interval_over_seeds(rates))
    return found | {"num_seeds": len(rates), "seeds": seeds}


def _compare_learning(pair: Pair, base: Row | None, keys: tuple[str, str]) -> dict[str, Any]:
    """Give the share of the undefended drop in loss from the base's, seed by seed.

    Seeds whose undefended arm has learned nothing, so that there is no share, are left out.

    Args:
        pair: Of one role.
        base: Its row.
        keys: Of a row of the pair, and of the base's, with the loss on the same rows.
    """
    start = base.get(keys[1]) if base else None
    drops = [
        {row["seed"]: start - row[keys[0]] for row in rows if row[keys[0]] is not None}
        for rows in ((pair.defended, pair.undefended) if start is not None else ((), ()))
    ]
    with_defence, without = drops
    learned = fmean(without.values()) if without else None
    shares = [
        with_defence[s] / drop for s, drop in without.items() if drop > 0 and s in with_defence
    ]
    interval = interval_of_mean(shares) if shares else Interval(None, None, NOTHING_COUNTED)
    enough = learned if len(without) >= FEWEST_SEEDS else None
    return (
        {"share": fmean(shares) if shares else None}
        | asdict(interval)
        | {"num_seeds": len(shares), "learned": learned, "kept": judge_kept(interval, enough)}
    )


def _compare_coherence(defended: Sequence[Row], asked: Asked) -> dict[str, Any]:
    """Give the share of scored answers that are coherent, and how far it is from the base's.

    Refusals and code count among the scored. The interval is that of the defended share over seeds,
    less the base's share, which is fixed.
    """

    def count(row: Row) -> Rate:
        share = _find_share(row, asked.question_set, asked.judge)
        n = share["outcomes"] if share else {"aligned": 0, "misaligned": 0}
        n = dict.fromkeys(("answers", "unscored"), 0) | n
        return Rate(n["aligned"] + n["misaligned"], n["answers"] - n["unscored"])

    own = _sum_up(defended, count)
    base = count(asked.base) if asked.base else Rate(0, 0)
    start = base.rate if base.eligible else None
    away: dict[str, Any] = {"difference": None, "low": None, "high": None, "note": own["note"]}
    if start is not None:
        away |= {"difference": None if own["rate"] is None else own["rate"] - start}
        away |= {end: None if own[end] is None else own[end] - start for end in ("low", "high")}
    kept = judge_coherence(_ends(away))
    return (
        {"defended": own["rate"], "base": start}
        | away
        | {"num_seeds": own["num_seeds"], "kept": kept}
    )


def _tell_cost(rows: Sequence[Row], task_steps: Mapping[str, float | None]) -> dict[str, Any]:
    arms = [row["arm"] for row in rows]
    known = [steps for arm in arms if (steps := task_steps.get(arm)) is not None]
    return {"task_steps": fmean(known) if known else None, "arms": arms}


def _find_share(row: Row, question_set: str, judge: str) -> dict[str, Any] | None:
    asked = (question_set, judge)
    return next((s for s in row["rates_by"] if (s["question_set"], s["judge"]) == asked), None)


def _ends(estimate: Mapping[str, Any]) -> Interval:
    return Interval(*(estimate[key] for key in ENDS))
