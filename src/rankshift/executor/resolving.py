"""What a study's names stand for, found before anything is done."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from rankshift.arms import Arm
from rankshift.executor.defending import Armoury
from rankshift.executor.parts import Material, Parts, find_parts, prepare_material
from rankshift.executor.room import Room, find_room
from rankshift.model.loading import load_tokenizer
from rankshift.runs import StudyRun, evaluation_id, identify_arms
from rankshift.study import Role, Study


@dataclass(frozen=True)
class ResolvedStudy:
    """A study, what its names stand for, and where its results go."""

    study: Study
    parts: Parts
    arms: dict[str, Arm]
    """By id, in the order of the grid."""
    run: StudyRun
    evaluation: str
    """The evaluation's id."""
    materials: dict[int, Material] = field(default_factory=dict)
    """By the seed of the split; what has been asked for."""

    @property
    def material(self) -> Material:
        """Give what the base is measured on; where seeds share a split, so are all arms."""
        return self.find_material(None)

    def find_material(self, seed: int | None) -> Material:
        """Read, split and render the data of a seed, once and only when something is left to do.

        Raises:
            UserError: A row or a question file is malformed, or a set comes out empty.
        """
        data = replace(self.study.data, split_seed=self.study.data.find_split_seed(seed))
        if data.split_seed not in self.materials:
            study = replace(self.study, data=data)
            tokenizer = load_tokenizer(self.parts.base.directory)
            self.materials[data.split_seed] = prepare_material(study, self.parts, tokenizer)
        return self.materials[data.split_seed]

    @cached_property
    def room(self) -> Room:
        """Give what each worker may use, read once: what is free changes."""
        return find_room(self.study.compute)

    @cached_property
    def armoury(self) -> Armoury:
        """Give what finds what defences work with, each thing once."""
        return Armoury(self.study, self.parts, self.run)

    def row_lengths(self, role: Role, seed: int | None) -> tuple[int, ...]:
        """Give the tokens of every training row of a role and seed; none for the base."""
        prepared = self.find_material(seed).sets.get(role)
        return tuple(len(row.token_ids) for row in prepared.train) if prepared else ()

    @cached_property
    def batch_tokens(self) -> int:
        """Give the tokens of one arm's micro-batch of task rows of mean length, padding aside."""
        training, rows = self.study.training, self.material.sets["task"].train
        total = sum(len(row.token_ids) for row in rows)
        return training.rows_per_step * total // (training.accumulation * len(rows))


def resolve_study(study: Study, root: Path) -> ResolvedStudy:
    """Find everything a study names; nothing is written.

    Raises:
        UserError: A part is not to be had, or does not fit the base.
    """
    parts = find_parts(study)
    return ResolvedStudy(
        study=study,
        parts=parts,
        arms=identify_arms(study, parts.fingerprints),
        run=StudyRun(root / study.name),
        evaluation=evaluation_id(study.evaluation, parts.fingerprints.questions),
    )
