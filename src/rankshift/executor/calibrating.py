"""The finetunes with known outcomes that forecasts are calibrated on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rankshift.analysis.forecast import choose_predictors, find_fault
from rankshift.analysis.forecasting import bound, calibrate, tabulate
from rankshift.data.sources import resolve_calibration
from rankshift.forecast_records import FILE, Finetune, Foretold, read_evidence


def read_calibration(paths: Sequence[Path]) -> list[Finetune]:
    """Read the finetunes with known outcomes: those that ship, then those of some runs or files.

    Raises:
        UserError: A file is not there, or was cut or edited.
    """
    return read_finetunes([resolve_calibration(), *paths])


def read_finetunes(paths: Sequence[Path]) -> list[Finetune]:
    """Read evidence from files and run directories; an arm that is there twice counts once.

    Raises:
        UserError: A file is not there, or was cut or edited.
    """
    files = [path / FILE if path.is_dir() else path for path in paths]
    found = {(one.study, one.arm): one for file in files for one in read_evidence(file).finetunes}
    return list(found.values())


def foretell(finetunes: Sequence[Finetune], known: Sequence[Finetune]) -> Iterator[Foretold]:
    """Say what others foretell of finetunes: before training, and after each share of its steps.

    Args:
        finetunes: Of one study.
        known: With known outcomes; those of the same study are left out.
    """
    others = [
        one
        for one in known
        if one.study != finetunes[0].study and one.contrasts == finetunes[0].contrasts
    ]
    if find_fault(finetunes[0], others) is not None:
        return
    seen = {early.share for one in others for early in one.early}
    for share in (None, *sorted(seen)):
        predictors = choose_predictors(share)
        asked, kept = tabulate(finetunes, predictors)
        if not kept:
            continue
        fitted = calibrate(others, predictors)
        expected = fitted.regression.predict(asked)
        ends = bound(expected, fitted.reach)
        for one, rate, low, high in zip(kept, expected, *ends, strict=True):
            yield Foretold(one.arm, share, float(rate), float(low), float(high))
