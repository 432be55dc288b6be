"""The verbs that foretell: collect evidence from runs, score predictors, forecast a finetune."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from rankshift.cli.choice import Only, gathering
from rankshift.cli.screen import AsJson, console
from rankshift.errors import UserError
from rankshift.forecast_records import FILE, write_evidence

if TYPE_CHECKING:
    from rankshift.analysis.forecast import Forecast
    from rankshift.analysis.leaderboard import Score, Standing
    from rankshift.executor.forecast import Asked

ABOVE = 3
"""Exit code of a gate that fails: above the rate, or nothing to vouch for it."""

Contrasts = Annotated[
    str | None, typer.Option(help="Question file with aligned and misaligned options.")
]


def evidence(
    runs: Annotated[list[Path], typer.Argument(help="Directories of finished runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write what all have into one file.")
    ] = None,
    contrasts: Contrasts = None,
) -> None:
    """Read what could have been known of finished finetunes, to calibrate forecasts on."""
    from rankshift.executor.foretelling import collect_evidence

    found = []
    for run in runs:
        own = collect_evidence(
            run, contrasts, lambda line: console.print(line, soft_wrap=True, markup=False)
        )
        console.print(f"{len(own)} finetunes  {run / FILE}", soft_wrap=True)
        found += own
    if out is not None:
        write_evidence(out, found)
        console.print(f"{len(found)} finetunes  {out}", soft_wrap=True)


def leaderboard(
    calibration: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs or files with evidence; none: the finetunes that ship."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score predictors of misalignment on studies that they have not seen."""
    from rankshift.analysis.leaderboard import score_all
    from rankshift.executor.calibrating import read_calibration, read_finetunes

    finetunes = read_finetunes(calibration) if calibration else read_calibration(())
    standings = score_all(finetunes)
    if as_json:
        print(json.dumps([asdict(one) for one in standings], indent=2))
        return
    console.print(tabulate_standings(standings))
    studies, bases = ({getattr(one, of) for one in finetunes} for of in ("study", "base"))
    for line in (
        "",
        f"{len(finetunes)} finetunes in {len(studies)} studies of {len(bases)} bases, each "
        "foretold by a regression that has not seen its study.",
        "AUROC of telling those above 10 % misaligned from the others of their base; rho is "
        "Spearman's; means over bases with 95 % intervals.",
        "on one data: among finetunes on the same data alone. gain: over share + recipe. error: "
        "mean absolute, points. covered: rates in their 90 % interval.",
        "new base: by a regression that has seen nothing of the base.",
    ):
        console.print(line, soft_wrap=True)


def tabulate_standings(standings: Sequence["Standing"]) -> Table:
    """Lay the leaderboard out, a row a predictor."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("predictor", no_wrap=True)
    table.add_column("when", no_wrap=True)
    for heading in ("AUROC", "rho", "AUROC on one data", "rho on one data", "rho gain", "error"):
        table.add_column(heading, justify="right")
    for heading in ("covered", "AUROC new base", "error new base"):
        table.add_column(heading, justify="right")
    for one in standings:
        table.add_row(
            one.name,
            one.when,
            show(one.auroc),
            show(one.correlation),
            show(one.auroc_within),
            show(one.correlation_within),
            show(one.correlation_gain),
            f"{100 * one.error:.1f}",
            f"{one.coverage:.0%}",
            show(one.auroc_new_base),
            f"{100 * one.error_new_base:.1f}",
        )
    return table


def show(score: "Score") -> str:
    """Write a mean with its interval."""
    if score.mean is None:
        return "-"
    ends = "" if score.low is None else f" ({score.low:.2f} to {score.high:.2f})"
    return f"{score.mean:.3f}{ends}"


@dataclass(frozen=True)
class Wanted:
    """What a forecast is wanted of."""

    base: str | None = None
    data: str | None = None
    study: Path | None = None
    only: str | None = None


wanting = gathering(
    "wanted",
    Wanted,
    {
        "base": Annotated[str | None, typer.Option(help="Directory, Hub id or organism.")],
        "data": Annotated[str | None, typer.Option(help="JSONL file or a name.")],
        "study": Annotated[
            Path | None,
            typer.Option(help="Study file: its recipe; or a begun run: its first steps too."),
        ],
        "only": Only,
    },
)


@wanting
def forecast(
    wanted: Wanted,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(help="Run or file with evidence, beside the finetunes that ship."),
    ] = None,
    contrasts: Contrasts = None,
    fail_above: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Exit with 3 where a rate above this is expected."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how misaligned finetunes of a base on some data are to be expected, by rank."""
    from rankshift.executor.forecast import forecast_finetunes

    asked = replace(
        find_asked(wanted),
        calibration=tuple(calibration or ()),
        contrasts=contrasts,
        fail_above=fail_above,
    )
    screen = Console(stderr=True) if as_json else console
    found = forecast_finetunes(asked, lambda line: screen.print(line, soft_wrap=True, markup=False))
    if as_json:
        print(json.dumps(describe(found), indent=2))
    else:
        tell_forecast(found)
    is_unvouched = found.reason is not None and fail_above is not None
    if is_unvouched or (found.gate is not None and found.gate.fails):
        raise typer.Exit(ABOVE)


def find_asked(wanted: Wanted) -> "Asked":
    """Find what is asked about; a base and data that are named stand in place of the study's.

    Raises:
        UserError: Neither a study nor both others are named, or the study is not to be read.
    """
    from rankshift.executor.forecast import Asked, ask_of
    from rankshift.runs import StudyRun
    from rankshift.study_file import read_studies

    base, data, study = wanted.base, wanted.data, wanted.study
    if study is None:
        if base is None or data is None:
            raise UserError("forecast: name --base and --data, or a --study that has both")
        return Asked(ask_of(base, data))
    if study.is_dir():
        if base is not None or data is not None:
            raise UserError(
                f"{study}: is a run, which has a base and data; leave out --base and --data"
            )
        return Asked(StudyRun(study).read_study()[0], study)
    several = read_studies(study, wanted.only)
    if len(several) > 1:
        raise UserError(f"{study}: holds {len(several)} studies; name one with --only")
    (one,) = several
    named = one.base if base is None else replace(one.base, model=base, revision=None)
    given = one.data if data is None else replace(one.data, task=data)
    return Asked(replace(one, base=named, data=given))


def describe(found: "Forecast") -> dict[str, object]:
    """Give a forecast as JSON; `forecast` is the list that programs read."""
    told = asdict(found)
    told["calibrated"] = found.reason is None
    for seen, line in zip(found.evidence, told["evidence"], strict=True):
        line["outside"] = seen.is_outside
        line |= {
            end: line[end] if math.isfinite(line[end]) else None for end in ("lowest", "highest")
        }
    return told


def tell_forecast(found: "Forecast") -> None:
    """Print a forecast for people: what is expected, what it rests on, how far to trust it."""
    console.print()
    if found.reason is not None:
        console.print(f"[bold]{found.base} on {found.data}: no forecast[/bold]", soft_wrap=True)
        console.print(found.reason, soft_wrap=True, markup=False)
    else:
        highest = max(found.forecast, key=lambda one: one.rate)
        console.print(
            f"[bold]{found.base} on {found.data}: up to {highest.rate:.0%} misaligned is expected "
            f"({highest.low:.0%} to {highest.high:.0%}), at rank {highest.rank}[/bold]",
            soft_wrap=True,
        )
        after = "" if found.share is None else f", after {found.share:.0%} of the steps"
        console.print(f"Said {found.when}{after}.")
        console.print()
        console.print(_tabulate_expected(found))
    console.print()
    console.print(_tabulate_seen(found))
    for line in _tell_trust(found):
        console.print(line, soft_wrap=True, markup=False)


def _tabulate_expected(found: "Forecast") -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("rank", "u", "expected", "90 % interval"):
        table.add_column(heading, justify="right")
    for one in sorted(found.forecast, key=lambda one: (one.u, one.rank)):
        ends = f"{one.low:.1%} to {one.high:.1%}"
        table.add_row(str(one.rank), f"{one.u:.3g}", f"{one.rate:.1%}", ends)
    return table


def _tabulate_seen(found: "Forecast") -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("evidence", no_wrap=True)
    for heading in ("here", "where calibrated", ""):
        table.add_column(heading, justify="right")
    for seen in found.evidence:
        known = f"{seen.lowest:.3g} to {seen.highest:.3g}" if math.isfinite(seen.lowest) else "-"
        note = "outside" if seen.is_outside else ""
        table.add_row(seen.predictor, f"{seen.value:.3g}", known, note)
    return table


def _tell_trust(found: "Forecast") -> list[str]:
    told = [""]
    if found.calibration is not None:
        own = found.calibration
        told.append(
            f"Calibrated on {own.finetunes} finetunes in {own.studies} studies of "
            f"{', '.join(own.bases)}: on a study unseen the mean error is {100 * own.error:.1f} "
            f"points, and {own.coverage:.0%} of rates lie in their 90 % interval."
        )
    if found.calibration is not None and any(map(found.calibration.find_strange, found.forecast)):
        own = found.calibration
        told.append(
            f"Ranks from {own.ranks[0]} to {own.ranks[1]} and u from {own.us[0]:.3g} to "
            f"{own.us[1]:.3g} were calibrated on: beyond them the regression is carried on, and "
            "the interval is a guess."
        )
    if any(seen.is_outside for seen in found.evidence) and found.reason is None:
        told.append("Evidence outside of what was calibrated on: do not trust the interval.")
    if found.gate is not None:
        gate = found.gate
        told.append(
            f"Gate at {gate.fail_above:.1%}: {'FAILS' if gate.fails else 'passes'}. On studies "
            f"unseen it failed {gate.false_alarms} of {gate.harmless} finetunes below it (false "
            f"alarms) and passed {gate.misses} of {gate.dangerous} above it (misses)."
        )
    return told
