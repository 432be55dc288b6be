"""What the provenance of each arm of a group says once it is trained or measured."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from rankshift.atomic import write_atomically
from rankshift.executor.devices import name_device, read_peak
from rankshift.executor.job import Job
from rankshift.provenance import gather_provenance
from rankshift.runs import ArmFiles, StudyRun
from rankshift.train.group import read_forms


@dataclass(frozen=True)
class Spent:
    """Seconds that a group took in this process, since it was taken up."""

    seconds: float
    """Of all training and measuring."""
    defending: Sequence[float]
    """What each arm's defence took of it."""

    @property
    def each(self) -> float:
        """Give what an arm took, defences aside: as much as any other."""
        return (self.seconds - sum(self.defending)) / len(self.defending)


def write_facts(
    job: Job,
    run: StudyRun,
    ranks: Sequence[dict[str, int] | None],
    spent: Spent,
    device: torch.device,
) -> None:
    """Write what each arm was made with; where that file is, the arm is finished.

    Args:
        job: What was done.
        run: Where.
        ranks: The rank that each target can reach, arm by arm.
        spent: Time.
        device: On which it was computed.
    """
    for index, effective in enumerate(ranks):
        facts: dict[str, object] = {"effective_rank": effective, "seconds": spent.seconds}
        if job.arms[index].defence is not None:
            facts["defence_seconds"] = round(spent.defending[index], 2)
            facts["arm_seconds"] = round(spent.each, 2)
        facts["optimizer"] = job.arms[index].find_optimizer(job.study.training)
        facts |= {"device": name_device(device), "peak_bytes": read_peak(device)}
        facts["engine"] = read_forms(run.group(job.group.id), index)
        facts |= job.own_facts[index] if job.own_facts else {}
        _write_provenance(job, run.arm(job.group.arms[index]), facts)


def _write_provenance(job: Job, files: ArmFiles, facts: dict[str, object]) -> None:
    base, training = job.study.base, job.study.training
    numbers = {"dtype": training.dtype, "quantization": base.quantization}
    content = gather_provenance() | job.facts | {"group": asdict(job.group)} | numbers | facts
    write_atomically(files.provenance_path, json.dumps(content, indent=2) + "\n")
