"""Where results are: directories named by the hash of what determines their content."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rankshift.arms import Arm, GivenFacts, expand_arms, group_imports
from rankshift.errors import UserError
from rankshift.fidelity import leave_out_unused
from rankshift.import_recipe import ImportRecipe, make_import_recipe
from rankshift.sealed import hash_of, quote_name, read_sealed, write_sealed
from rankshift.study import Evaluation, Study, Training


@dataclass(frozen=True)
class Fingerprints:
    """SHA-256 of the content behind the names in a study."""

    base: str
    task: str | None = None
    twin: str | None = None
    questions: dict[str, str] = field(default_factory=dict)
    """Question set to the SHA-256 of its file; these may change."""
    models: tuple[GivenFacts, ...] = ()
    """Given models, with what else their files say; these may change too, the others may not."""
    imports: dict[str, str] = field(default_factory=dict)
    """Imported file, as the study names it, to its SHA-256; others may join. An import has no
    fingerprint but these: base and task are empty."""
    unrelated: str | None = None
    defences: dict[str, str] = field(default_factory=dict)
    """What defences of the grid name, rows and contrasts, each with its SHA-256; others may join.
    """


@dataclass(frozen=True)
class Recipe:
    """Everything besides the arm that determines its weights and its held-out loss."""

    base_fingerprint: str
    train_fingerprint: str | None
    """Of the dataset the arm is trained on; None for what the study does not train."""
    task_fingerprint: str | None
    held_out_fraction: float
    split_seed: int
    train_rows: int | None
    held_out_rows: int | None
    context_tokens: int
    weights: str
    """How the base's are held, e.g. `nf4 float32`: the base arm too is measured with that."""
    training: Training | None
    """None for what the study does not train."""
    split_by: str = "prompt"
    trailing_header: bool = False
    given_fingerprint: str | None = None
    """Of a given model's files."""
    floor: float | None = None
    """With crossings only."""
    unrelated_fingerprint: str | None = None
    unrelated_rows: int | None = None
    defence_fingerprint: str | None = None
    """Of the rows or contrasts that the arm's defence names."""

    @property
    def measured_at(self) -> tuple[int, ...]:
        """Give the optimizer steps at which the arm is measured: 0 for what is not trained."""
        return (0,) if self.training is None else self.training.checkpoints


def make_recipe(arm: Arm, study: Study, fingerprints: Fingerprints) -> Recipe:
    """Collect what determines an arm of a study besides the arm."""
    trained_on = {"base": None, "task": fingerprints.task, "twin": fingerprints.twin}
    data, training = study.data, study.training
    is_ours = arm.is_trained or arm.is_derived
    floor = data.twin_floor if arm.role == "twin" else data.floor
    given = {facts.name: facts.sha256 for facts in fingerprints.models}
    named = arm.defence.named if arm.defence else None
    return Recipe(
        base_fingerprint=fingerprints.base,
        train_fingerprint=trained_on[arm.role] if is_ours else None,
        task_fingerprint=fingerprints.task,
        held_out_fraction=data.held_out_fraction,
        split_seed=data.find_split_seed(arm.split_by_seed),
        train_rows=data.train_rows,
        held_out_rows=data.held_out_rows,
        context_tokens=data.context_tokens,
        weights=f"{study.base.quantization} {training.dtype}",
        training=training if is_ours else None,
        split_by=data.split_by,
        trailing_header=data.trailing_header,
        given_fingerprint=given[arm.name] if arm.name is not None else None,
        floor=floor if is_ours and training.crossings else None,
        unrelated_fingerprint=fingerprints.unrelated,
        unrelated_rows=data.unrelated_rows if fingerprints.unrelated else None,
        defence_fingerprint=fingerprints.defences[named] if named else None,
    )


def arm_id(arm: Arm, recipe: Recipe | ImportRecipe) -> str:
    """Name an arm by all that determines its weights, losses or imported answers, and nothing else.

    A given model's files determine it: what the study or its authors call it does not count, so
    that a correction there asks nothing again.
    """
    own, made_with = leave_out_unused(asdict(arm)), leave_out_unused(asdict(recipe))
    if arm.is_given:
        own = {key: own[key] for key in ("method", "role")}
    return hash_of({"arm": own, "recipe": made_with})


def identify_arms(study: Study, fingerprints: Fingerprints) -> dict[str, Arm]:
    """Give the arms of a study by their ids, in the order of the grid or of its imports.

    Raises:
        UserError: Two given models are one.
    """
    if study.imports:
        groups = group_imports(study.imports).items()
        return {
            arm_id(arm, make_import_recipe(tables, fingerprints.imports)): arm
            for arm, tables in groups
        }
    arms: dict[str, Arm] = {}
    for arm in expand_arms(study, fingerprints.models):
        name = arm_id(arm, make_recipe(arm, study, fingerprints))
        if name in arms:
            raise UserError(
                f"models: {arms[name].name} and {arm.name} have the same files and role, so they "
                "are one model; leave one out"
            )
        arms[name] = arm
    return arms


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
        return verdicts / quote_name(judge)

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
        return self.directory / "judging" / f"{quote_name(judge)}.jsonl"

    def judge_path(self, judge: str) -> Path:
        """What tells a judge from another of the same name."""
        return self.calls_path(judge).with_suffix(".json")

    @property
    def sheets_directory(self) -> Path:
        """Holds the keys of the sheets that were given out, a file of SampledRecords each."""
        return self.directory / "labels" / "sheets"

    def labelled_path(self, judge: str) -> Path:
        """SampledRecords of the sheet that a person, `human:NAME`, has labelled."""
        return self.directory / "labels" / "people" / f"{quote_name(judge)}.jsonl"

    @property
    def gold_root(self) -> Path:
        """Holds what judges said of the gold answers, a directory each."""
        return self.directory / "gold"

    def gold_directory(self, judge: str) -> Path:
        """Holds the VerdictRecords of one judge on the gold answers, a file each time they move."""
        return self.gold_root / quote_name(judge)

    def directions_path(self, contrasts_sha256: str) -> Path:
        """The persona's direction after each block of the base, by contrasts of a SHA-256."""
        return self.directory / "defences" / f"directions-{contrasts_sha256[:12]}.safetensors"

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


def _name_step(step: int) -> str:
    return f"step-{step:06d}"
