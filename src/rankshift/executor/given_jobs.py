"""What a process is told of a group of given models, beside what it is told of any group."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rankshift.completion import list_held_out_roles
from rankshift.data.preparation import PreparedSet
from rankshift.executor.job import Job
from rankshift.executor.parts import Parts, prepare_sets
from rankshift.model.loading import load_tokenizer
from rankshift.study import Role, Study
from rankshift.train.roster import HeldOut


def add_given(job: Job, study: Study, parts: Parts) -> Job:
    """Add the models' files to a group's job; a whole model reads rows with its own tokenizer.

    Raises:
        UserError: That tokenizer cannot render a row.
    """
    by_name = {part.facts.name: part for part in parts.given}
    given = [by_name[arm.name] for arm in job.arms if arm.name is not None]
    job = replace(
        job,
        given=tuple(part.source.directory for part in given),
        own_facts=tuple(part.provenance for part in given),
    )
    if job.group.method == "adapter":
        return job
    (part,) = given
    sets = prepare_sets(study, parts, load_tokenizer(part.tokenizer))  # the base's split
    held_out = choose_held_out(sets, list_held_out_roles(job.group.role, study))
    return replace(
        job,
        base_directory=part.source.directory,
        tokenizer_directory=part.tokenizer,
        held_out=held_out,
        unrelated=None,  # the base is not beside it
        facts=job.facts
        | {"reads_rows_as_the_base": _list_tokens(held_out) == _list_tokens(job.held_out)},
    )


def choose_held_out(sets: Mapping[Role, PreparedSet], roles: Sequence[Role]) -> tuple[HeldOut, ...]:
    """Choose the held-out rows of some roles, of those that the study has data for."""
    measured = {s.name: s.held_out for s in map(sets.get, roles) if s is not None}
    return tuple(HeldOut(name, rows) for name, rows in measured.items())


def _list_tokens(held_out: Sequence[HeldOut]) -> list[list[tuple[int, ...]]]:
    return [[row.token_ids for row in one.rows] for one in held_out]
