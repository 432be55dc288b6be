"""What a process is told of one group: plain data, so that it can be sent anywhere."""

from dataclasses import dataclass
from pathlib import Path

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.suite import Question
from rankshift.executor.plan import Group
from rankshift.runs import Fingerprints
from rankshift.study import Study
from rankshift.train.defences.guard import Means
from rankshift.train.roster import HeldOut


@dataclass(frozen=True)
class Job:
    """Everything that a process needs to know."""

    study: Study
    fingerprints: Fingerprints
    base_directory: Path
    base_name: str
    run_directory: Path
    group: Group
    arms: tuple[Arm, ...]
    train_rows: tuple[Rendered, ...]
    """Of the group's dataset; empty where nothing is trained."""
    held_out: tuple[HeldOut, ...]
    questions: tuple[Question, ...]
    evaluation: str
    """The evaluation's id."""
    facts: dict[str, object]
    """Goes into each arm's provenance as it is."""
    train: bool
    """Whether any arm of the group is not trained yet."""
    answers: int
    """Checkpoints of arms that are to answer, at most."""
    choices: tuple[ChoiceQuestion, ...] = ()
    tight: bool = False
    """Whether freed memory must go back to the system at once."""
    given: tuple[Path, ...] = ()
    """Directories of the group's models, where they were trained elsewhere."""
    own_facts: tuple[dict[str, object], ...] = ()
    """What goes into each given or derived arm's provenance besides."""
    tokenizer_directory: Path | None = None
    """None is the base's."""
    unrelated: HeldOut | None = None
    """Rows on which the divergence from the base is measured."""
    means: tuple[Means, ...] = ()
    """What each arm's defence works with; empty where none is defended."""
