"""Which studies of a file a command means, and where they are carried out: options as one value."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rankshift.conduct import Executor
from rankshift.study import Study

Only = Annotated[str | None, typer.Option(help="Of a file with variants, the one to take.")]
Whole = Annotated[bool, typer.Option("--whole", help="Take every variant of the file.")]
Where = Annotated[
    Executor | None,
    typer.Option("--executor", help="Where to compute, in place of what the study says."),
]
Kept = Annotated[
    str | None,
    typer.Option("--storage", help="Object storage where the run is kept too: s3://bucket/folder."),
]
Shards = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that hold one base, in place of what the study says."),
]


@dataclass(frozen=True)
class Chosen:
    """What the options say."""

    only: str | None = None
    whole: bool = False
    executor: Executor | None = None
    storage: str | None = None
    shards: int | None = None

    def read(self, path: Path) -> list[Study]:
        """Read the studies that are meant, as they are to be carried out.

        Raises:
            UserError: The first thing that is wrong with the file, or there is no such variant.
        """
        from rankshift.study_file import read_studies

        studies = read_studies(path, self.only, whole=self.whole)
        told = {"executor": self.executor, "storage": self.storage, "shards": self.shards}
        changes: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
        return [replace(one, compute=replace(one.compute, **changes)) for one in studies]


Command = Callable[..., None]


def gathering(
    parameter: str, kind: Callable[..., Any], options: dict[str, Any]
) -> Callable[[Command], Command]:
    """Give a command options, in place of a parameter that gets them as one value.

    Args:
        parameter: The command's.
        kind: Makes the value of options by name, and has a default for each.
        options: Their annotations by name.
    """

    def give(command: Command) -> Command:
        def call(**given: Any) -> None:
            command(**{parameter: kind(**{name: given.pop(name) for name in options})}, **given)

        defaults = kind()
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=getattr(defaults, name),
                annotation=annotation,
            )
            for name, annotation in options.items()
        ]
        signature = inspect.signature(command)
        kept = [one for name, one in signature.parameters.items() if name != parameter]
        needed = [one for one in kept if one.default is inspect.Parameter.empty]
        others = [one for one in kept if one not in needed]
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__dict__["__signature__"] = signature.replace(parameters=[*needed, *added, *others])
        return call

    return give


choosing = gathering(
    "chosen",
    Chosen,
    {"only": Only, "whole": Whole, "executor": Where, "storage": Kept, "shards": Shards},
)
"""Gives a command the options of `Chosen`, in place of its parameter `chosen`."""
