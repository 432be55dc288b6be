"""Where results are: directories named by the hash of what determines their content."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from rankshift.arms import Arm, expand_arms, group_imports
from rankshift.errors import UserError
from rankshift.fidelity import leave_out_unused
from rankshift.lock import LOCK_NAME, OWNER_NAME, hold_run
from rankshift.sealed import hash_of, read_sealed, write_sealed
from rankshift.study import Evaluation, Import, Study, Training


@dataclass(frozen=True)
class Fingerprints:
    """SHA-256 of the content behind the names in a study."""

    base: str
    task: str
    twin: str | None = None
    questions: dict[str, str] = field(default_factory=dict)
    """Question set to the SHA-256 of its file; these may change, the others may not."""
    imports: dict[str, str] = field(default_factory=dict)
    """Imported file, as the study names it, to its SHA-256; others may join. An import has no
    fingerprint but these: base and task are empty."""


@dataclass(frozen=True)
class Recipe:
    """Everything besides the arm that determines its weights and its held-out loss."""

    base_fingerprint: str
    train_fingerprint: str | None
    """Of the dataset the arm is trained on; None for the base."""
    task_fingerprint: str
    held_out_fraction: float
    split_seed: int
    train_rows: int | None
    held_out_rows: int | None
    context_tokens: int
    weights: str
    """How the base's are held, e.g. `nf4 float32`: the base arm too is measured with that."""
    training: Training | None
    """None for the base."""
    split_by: str = "prompt"
    trailing_header: bool = False

    @property
    def measured_at(self) -> tuple[int, ...]:
        """Give the optimizer steps at which the arm is measured: 0 for the base."""
        return (0,) if self.training is None else self.training.checkpoints


@dataclass(frozen=True)
class ImportRecipe:
    """What determines the content of an imported arm besides what the study says it is.

    One entry a file, in the order of the study: what it holds, and how it is read.
    """

    sha256: tuple[str, ...]
    judges: tuple[str, ...]
    question_sets: tuple[str | None, ...]
    question_ids: tuple[str | None, ...]
    models: tuple[str | None, ...]


def make_import_recipe(tables: Sequence[Import], fingerprints: Fingerprints) -> ImportRecipe:
    """Collect what determines an arm that others trained; a file not met yet has no SHA-256."""
    return ImportRecipe(
        sha256=tuple(fingerprints.imports.get(table.file, "") for table in tables),
        judges=tuple(table.judge for table in tables),
        question_sets=tuple(table.question_set for table in tables),
        question_ids=tuple(table.question_id for table in tables),
        models=tuple(table.model for table in tables),
    )


def make_recipe(arm: Arm, study: Study, fingerprints: Fingerprints) -> Recipe:
    """Collect what determines an arm of a study besides the arm."""
    trained_on = {"base": None, "task": fingerprints.task, "twin": fingerprints.twin}
    return Recipe(
        base_fingerprint=fingerprints.base,
        train_fingerprint=trained_on[arm.role],
        task_fingerprint=fingerprints.task,
        held_out_fraction=study.data.held_out_fraction,
        split_seed=study.data.find_split_seed(arm.seed),
        train_rows=study.data.train_rows,
        held_out_rows=study.data.held_out_rows,
        context_tokens=study.data.context_tokens,
        weights=f"{study.base.quantization} {study.training.dtype}",
        training=None if arm.role == "base" else study.training,
        split_by=study.data.split_by,
        trailing_header=study.data.trailing_header,
    )


def arm_id(arm: Arm, recipe: Recipe | ImportRecipe) -> str:
    """Name an arm by all that determines its weights, or its imported answers, and nothing else."""
    return hash_of({"arm": arm, "recipe": leave_out_unused(asdict(recipe))})


def identify_arms(study: Study, fingerprints: Fingerprints) -> dict[str, Arm]:
    """Give the arms of a study by their ids, in the order of the grid or of its imports."""
    if not study.imports:
        return {arm_id(a, make_recipe(a, study, fingerprints)): a for a in expand_arms(study)}
    grouped = group_imports(study.imports).items()
    return {arm_id(arm, make_import_recipe(tables, fingerprints)): arm for arm, tables in grouped}


def evaluation_id(evaluation: Evaluation, question_fingerprints: Mapping[str, str]) -> str:
    """Name what is asked, by the SHA-256 of each suite, and how it is sampled; not who judges."""
    asked = {key: value for key, value in asdict(evaluation).items() if key != "judge"}
    asked["suites"] = {suite: question_fingerprints[suite] for suite in evaluation.suites}
    return hash_of(leave_out_unused(asked))


@dataclass(frozen=True)
class ArmFiles:
    """The files of one arm."""

    directory: Path

    @property
    def arm_path(self) -> Path:
        """The arm and the recipe its id is made of."""
        return self.directory / "arm.json"

    @property
    def provenance_path(self) -> Path:
        """What the arm was made with."""
        return self.directory / "provenance.json"

    @property
    def steps_path(self) -> Path:
        """StepRecords."""
        return self.directory / "steps.jsonl"

    @property
    def held_out_path(self) -> Path:
        """HeldOutRecords."""
        return self.directory / "held_out.jsonl"

    def checkpoint(self, step: int) -> Path:
        """Directory of the weights after a step."""
        return self.directory / "checkpoints" / _name_step(step)

    def answers_folder(self, evaluation: str) -> Path:
        """A file of answers for each step."""
        return self.directory / "evaluations" / evaluation / "answers"

    def answers_path(self, evaluation: str, step: int) -> Path:
        """AnswerRecords of one evaluation at one step."""
        return self.answers_folder(evaluation) / f"{_name_step(step)}.jsonl"

    def verdicts_folder(self, evaluation: str, judge: str) -> Path:
        """A file of one judge's verdicts for each step; a `/` in the name is written %2F."""
        verdicts = self.directory / "evaluations" / evaluation / "verdicts"
        return verdicts / quote(judge, safe=":")

    def choices_path(self, evaluation: str, step: int) -> Path:
        """ChoiceRecords of one evaluation at one step; written before the answers."""
        return self.directory / "evaluations" / evaluation / "choices" / f"{_name_step(step)}.jsonl"

    def verdicts_path(self, evaluation: str, judge: str, step: int) -> Path:
        """VerdictRecords of one judge at one step."""
        return self.verdicts_folder(evaluation, judge) / f"{_name_step(step)}.jsonl"

    def write_arm(self, arm: Arm, recipe: Recipe | ImportRecipe) -> None:
        """Write what the directory's name is the hash of."""
        assert self.directory.name == arm_id(arm, recipe)
        write_sealed(self.arm_path, arm=arm, recipe=recipe)

    def read_arm(self) -> tuple[Arm, Recipe]:
        """Read the arm and its recipe.

        Raises:
            UserError: There is no such file, or it was cut or edited.
        """
        fix = f"remove {self.directory} and run the study again"
        return read_sealed(self.arm_path, fix, arm=Arm, recipe=Recipe)

    def read_import(self) -> tuple[Arm, ImportRecipe]:
        """Read an imported arm and what determines it; raises as `read_arm` does."""
        fix = f"remove {self.directory} and import its files again"
        return read_sealed(self.arm_path, fix, arm=Arm, recipe=ImportRecipe)


@dataclass(frozen=True)
class StudyRun:
    """The files of one study."""

    directory: Path

    @property
    def study_path(self) -> Path:
        """What was asked, fingerprints included."""
        return self.directory / "study.json"

    @property
    def plan_path(self) -> Path:
        """Which arms train together, with what threads and batch shape."""
        return self.directory / "plan.json"

    @property
    def results_path(self) -> Path:
        """The contract with other programs."""
        return self.directory / "results.json"

    @property
    def report_path(self) -> Path:
        """The page."""
        return self.directory / "report.html"

    def calls_path(self, judge: str) -> Path:
        """CallRecords of one judge, over all arms; a `/` in the judge's name is written %2F."""
        return self.directory / "judging" / f"{quote(judge, safe=':')}.jsonl"

    def judge_path(self, judge: str) -> Path:
        """What tells a judge from another of the same name."""
        return self.calls_path(judge).with_suffix(".json")

    @property
    def sheets_directory(self) -> Path:
        """Holds the keys of the sheets that were given out, a file of SampledRecords each."""
        return self.directory / "labels" / "sheets"

    def labelled_path(self, judge: str) -> Path:
        """SampledRecords of the sheet that a person, `human:NAME`, has labelled."""
        return self.directory / "labels" / "people" / f"{quote(judge, safe=':')}.jsonl"

    @property
    def gold_root(self) -> Path:
        """Holds what judges said of the gold answers, a directory each."""
        return self.directory / "gold"

    def gold_directory(self, judge: str) -> Path:
        """Holds the VerdictRecords of one judge on the gold answers, a file each time they move."""
        return self.gold_root / quote(judge, safe=":")

    def group(self, group: str) -> Path:
        """Directory of the state that a group resumes from."""
        return self.directory / "groups" / group

    def arm(self, arm: str) -> ArmFiles:
        """Files of the arm with an id."""
        return ArmFiles(self.directory / "arms" / arm)

    def read_study(self) -> tuple[Study, Fingerprints]:
        """Read what was asked.

        Raises:
            UserError: There is no such file, or it was cut or edited.
        """
        fix = f"restore it, or remove {self.directory} to start again"
        return read_sealed(self.study_path, fix, study=Study, fingerprints=Fingerprints)


def open_run(study: Study, fingerprints: Fingerprints, root: Path = Path("runs")) -> StudyRun:
    """Give a study its directory: made on first use, checked on every later one.

    The grid, `evaluation`, `compute` and `about` may change between uses: arms and evaluations
    are found by their own hashes. What every arm shares may not. It holds the run's lock only
    while it writes study.json; who goes on writing takes `hold_run` next.

    Raises:
        UserError: The directory is another study's or somebody else's; then nothing is written.
    """
    run = StudyRun(root / study.name)
    if _find_asked(run, study, fingerprints) == (study, fingerprints):
        return run
    run.directory.mkdir(parents=True, exist_ok=True)
    with hold_run(run.directory):
        _find_asked(run, study, fingerprints)  # another process may have come first
        write_sealed(run.study_path, study=study, fingerprints=fingerprints)
    return run


def _find_asked(
    run: StudyRun, study: Study, fingerprints: Fingerprints
) -> tuple[Study, Fingerprints] | None:
    """Read what was asked here before, None for nothing; refuse what is not this study's."""
    for folder in (run.directory.parent, run.directory):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file where a directory is needed; move it away")
    if not run.study_path.exists():
        _refuse_foreign(run.directory)
        return None
    before = run.read_study()
    now = _list_shared(study, fingerprints)
    for key, old in _list_shared(*before).items():
        if old != now[key]:
            raise UserError(
                f"{run.directory} was made by a different study: {key} was {old!r}, now "
                f"{now[key]!r}; give this study another name, or remove {run.directory}"
            )
    return before


def _refuse_foreign(directory: Path) -> None:
    names = sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
    for name in names:
        is_draft = name.startswith(".") and name.endswith(".tmp")
        if name not in (LOCK_NAME, OWNER_NAME) and not is_draft:
            raise UserError(
                f"{directory} holds {name} but no study.json, so whose it is cannot be told; "
                "give this study another name, or move those files away"
            )


def _list_shared(study: Study, fingerprints: Fingerprints) -> dict[str, object]:
    """List what all arms share, by key; two studies in one directory must agree on it."""
    tables = {name: asdict(getattr(study, name)) for name in ("base", "data", "training")}
    tables["fingerprints"] = asdict(replace(fingerprints, questions={}, imports={}))
    named = {f"{table}.{key}": tables[table][key] for table in tables for key in tables[table]}
    return {"name": study.name, **named}


def _name_step(step: int) -> str:
    return f"step-{step:06d}"
