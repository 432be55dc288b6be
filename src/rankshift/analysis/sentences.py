"""A verdict on a curve as one sentence that is true alone."""

from collections.abc import Sequence

from rankshift.analysis.peak import Change, Peak
from rankshift.inference import Analysis

SUBJECTS = {
    "misaligned_given_coherent": "misalignment among coherent answers",
    "misaligned_of_all": "misalignment among all answers",
}


READINGS = {
    "skill": "once {:.0%} of the drop in held-out loss is reached",
    "kl": "once the divergence from the base is {:g} nats a token",
    "insecure_code": "once {:.0%} of held-out code is insecure",
}


def tell_verdict(peak: Peak, rules: Analysis, reading: str) -> str:
    """Write the verdict with the numbers that it rests on.

    Args:
        peak: What was found.
        rules: What it was decided by, and which rate it is about.
        reading: Where arms are compared, as results.json names it.
    """
    subject, sure = (
        SUBJECTS[rules.outcome] + _tell_reading(reading),
        f"{100 * (1 - rules.level):g}%",
    )
    match peak.verdict:
        case "peak":
            told = _tell_peak(peak)
        case "flat":
            told = _tell_flat(peak)
        case "increasing":
            told = _tell_change("rises with rank", "above", peak.up, peak, peak.largest_down)
        case "decreasing":
            told = _tell_change("falls with rank", "below", peak.down, peak, peak.largest_up)
        case "undetermined":
            return f"Whether {subject} peaks at some rank cannot be told: {_tell_why(peak)}."
    best = name_best(peak)
    where = "" if peak.verdict == "flat" else f"; with {sure} confidence it is highest at {best}"
    return f"{subject.capitalize()} {told}{where}."


def name_best(peak: Peak) -> str:
    """Name the ranks that may be the best: `rank 4`, `rank 4 or 16`, `rank 2 or 16 to 128`."""
    if peak.confidence_set == peak.ranks:
        return "any rank"
    runs: list[list[int]] = []
    for at, rank in enumerate(peak.ranks):
        if rank not in peak.confidence_set:
            continue
        if runs and runs[-1][-1] == peak.ranks[at - 1]:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    names = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return "rank " + (names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}")


def format_points(difference: float) -> str:
    """Write a difference of two rates in percentage points, without its sign."""
    return f"{100 * abs(difference):.1f} points"


def _tell_reading(reading: str) -> str:
    kind, _, value = reading.partition(" ")
    return f" {READINGS[kind].format(float(value))}" if value else ""


def _tell_peak(peak: Peak) -> str:
    assert peak.rise is not None
    assert peak.fall is not None
    rise, fall = peak.rise, peak.fall
    return (
        f"peaks at {_span(rise.right)}: on average {format_points(rise.difference)} above "
        f"{_span(rise.left)} and {format_points(fall.difference)} above {_span(fall.right)}, "
        f"each at least {peak.statistic:.2f} standard errors where {peak.critical_value:.2f} are "
        "needed"
    )


def _tell_flat(peak: Peak) -> str:
    assert peak.flat is not None
    points = format_points(peak.flat.margin).removesuffix(" points")
    return (
        f"is flat from {_span(peak.ranks)}: no two ranks differ by as much as {points} points "
        f"(p = {peak.flat.p_value:.2g})"
    )


def _tell_change(
    words: str, side: str, change: Change | None, peak: Peak, against: float | None
) -> str:
    assert change is not None
    assert against is not None
    other = "fall" if side == "above" else "rise"
    return (
        f"{words}: {_span(change.right)} on average {format_points(change.difference)} {side} "
        f"{_span(change.left)}, {abs(change.ratio):.2f} standard errors where "
        f"{peak.critical_change:.2f} are needed, and a {other} from one rank to a later one of "
        f"more than {format_points(max(against, 0.0))} is excluded"
    )


def _tell_why(peak: Peak) -> str:
    assert peak.reason is not None
    if peak.statistic is None or peak.critical_value is None:
        return peak.reason
    told = f"in {peak.seeds} seeds {peak.reason}; "
    if peak.statistic > 0:
        told += (
            f"as a peak the best block would have {peak.statistic:.2f} standard errors where "
            f"{peak.critical_value:.2f} are needed"
        )
    else:
        told += "no block of ranks lies above ranks on both sides"
    told += f", it may be highest at {name_best(peak)}"
    if peak.smallest_peak is not None:
        seen = format_points(peak.smallest_peak)
        told += f", and at this spread only a peak of {seen} or more is found 8 times in 10"
    return told


def _span(ranks: Sequence[int]) -> str:
    """Write adjacent ranks short: `rank 4`, `ranks 4 to 64`."""
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
