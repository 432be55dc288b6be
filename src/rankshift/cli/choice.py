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


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, in place of its parameter `chosen`."""
    options = {"only": Only, "whole": Whole, "executor": Where, "storage": Kept, "shards": Shards}

    def call(**given: Any) -> None:
        command(chosen=Chosen(**{name: given.pop(name) for name in options}), **given)

    defaults = Chosen()
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
    own = [one for name, one in signature.parameters.items() if name != "chosen"]
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__dict__["__signature__"] = signature.replace(parameters=[*own, *added])
    return call
