"""How a study is carried out: where it computes and how judges are asked; changes no answer."""

from dataclasses import dataclass, field
from typing import Literal

Executor = Literal["local", "ray"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Judging:
    """How judges are asked; changes no answer, and what is judged already is never judged again."""

    others: tuple[str, ...] = ()
    """Further judges; each reads every answer."""
    local_only: bool = False
    """Refuse every judge that is not on this machine."""
    may_judge_itself: bool = False
    """Let the base under test be a judge."""
    cache: bool = True
    """Take what a judge elsewhere, or one of known weights, said of the same text in any run."""
    base_url: str | None = None
    """Where an OpenAI-compatible judge listens; None is its provider's own place."""
    gold: bool = True
    """Let a judge score the gold answers too, each time it is asked, to see whether it drifts."""
    connections: int = 16
    """Calls in flight at most."""
    attempts: int = 5
    """Calls for one prompt before it counts as failed."""
    timeout_seconds: float = 60.0
    """After so long without a reply a call has failed."""
    usd_limit: float | None = None
    """No call is begun that could take the study's cost above this; needs both prices."""
    usd_per_million_input: float | None = None
    """Price of a million tokens that a judge reads, US dollars."""
    usd_per_million_output: float | None = None
    """Price of a million tokens that it writes."""


@dataclass(frozen=True)
class Assumed:
    """What `rankshift plan` takes for granted of devices and data that are not here."""

    device: str = ""
    """Its name; without one the plan is made for this machine, from the base and the data."""
    device_gib: float = 1.0
    """Memory of one."""
    device_tflops: float = 1.0
    """Peak in `training.dtype`, 1e12 operations a second."""
    device_tb_per_second: float = 1.0
    """Peak of its memory, 1e12 bytes a second."""
    share_of_peak: float = 0.4
    """What is reached of both peaks."""
    row_tokens: int = 250
    """Of a training row, on average."""
    longest_row_tokens: int = 900
    answer_tokens: int = 200
    """Of an answer, on average."""
    answers_together: int = 128
    """Answers that are sampled at a time."""
    questions: int = 8
    """All phrasings of all suites."""
    question_tokens: int = 60


@dataclass(frozen=True)
class Compute:
    """Where and how; changes times, never what is asked."""

    executor: Executor = "local"
    """`ray` hands groups to a Ray cluster; needs the extra `ray`, and a run that all nodes see or
    `storage`."""
    device: Device = "auto"
    """Where models compute: `auto` is a GPU where torch sees one (on Ray, where `gpus_per_worker`
    asks for one), else the processor."""
    workers: int = 2
    """Groups that train and answer side by side, each with its own copy of the base."""
    threads: int = 1
    """Threads of each worker."""
    shards: int = 1
    """Processes that each worker starts to hold one base together, a part each (FSDP2)."""
    arms_per_group: int = 16
    """At most this many arms are trained in lock step over one base."""
    micro_rows: int = 32
    """Held-out rows of one arm in one forward pass."""
    gpus_per_worker: int = 0
    """GPUs that Ray keeps for each worker; a worker computes on one."""
    storage: str | None = None
    """URL of object storage, such as `s3://bucket/folder`, where the run is kept too; workers of
    Ray's then bring what they did there, and need no folder that all nodes see."""
    memory_gib: float | None = None
    """What all workers may use together, of GPUs where they compute there; None is nine tenths of
    what is free when a run begins."""
    assumed: Assumed = field(default_factory=Assumed)
    """Only for plans: a run does not look at it."""


def limit_threads(threads: int) -> dict[str, str]:
    """Give the environment that holds a process to so many threads; torch reads it on import."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return limits | {"OMP_WAIT_POLICY": "passive"}
