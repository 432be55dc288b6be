import json

import torch

from rankshift.executor.facts import Spent, write_facts


def test_an_arm_says_its_time_and_only_a_defended_one_what_defending_took(make_jobs):
    resolved, jobs = make_jobs(
        ranks="[2]",
        edit=(
            "[training]",
            '[[grid.defences]]\nkind = "spectral"\nstrengths = [1.0]\n\n[training]',
        ),
    )
    job = next(job for job in jobs if job.group.method == "lora" and job.group.role == "task")
    for name in job.group.arms:
        resolved.run.arm(name).directory.mkdir(parents=True)
    defending = [0.5 * at for at in range(len(job.arms))]
    spent = Spent(12.0, defending)
    each = (12.0 - sum(defending)) / len(job.arms)
    ranks = [{"q_proj": 2}] * len(job.arms)
    write_facts(job, resolved.run, ranks, spent, torch.device("cpu"))
    for at, (name, arm) in enumerate(zip(job.group.arms, job.arms, strict=True)):
        facts = json.loads(resolved.run.arm(name).provenance_path.read_text())
        assert (facts["seconds"], facts["effective_rank"]) == (12.0, {"q_proj": 2})
        told = (facts.get("defence_seconds"), facts.get("arm_seconds"))
        assert told == ((0.5 * at, round(each, 2)) if arm.defence else (None, None))
