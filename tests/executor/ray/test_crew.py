"""What a group asks of a node, and when no node can ever have it."""

from dataclasses import replace

import pytest

from rankshift.errors import UserError
from rankshift.executor.plan import Fit
from rankshift.executor.ray.crew import Needs, find_needs, refuse_too_large
from rankshift.executor.room import ALLOCATOR_SLACK, GIB, PROCESS_BYTES

NODES = [
    {"Resources": {"CPU": 8.0, "memory": 4.0 * GIB}},
    {"Resources": {"CPU": 2.0, "memory": 64.0 * GIB, "GPU": 1.0}},
]


def test_a_task_asks_for_the_threads_and_the_memory_of_the_plan(make_jobs):
    job = next(job for job in make_jobs()[1] if job.group.method == "lora")
    fit = Fit(bytes_by_part={"base": 3 * GIB, "activations": GIB})
    job = replace(job, group=replace(job.group, threads=3, fit=fit), tight=True)
    assert find_needs(job, 1) == Needs(3, 1, PROCESS_BYTES + 4 * GIB)
    on_gpu = replace(job.study, compute=replace(job.study.compute, device="cuda"))
    assert find_needs(replace(job, study=on_gpu), 1).bytes == PROCESS_BYTES + 3 * GIB
    loose = find_needs(replace(job, tight=False), 0)
    assert loose == Needs(3, 0, PROCESS_BYTES + int(ALLOCATOR_SLACK * 4 * GIB))


@pytest.mark.parametrize(
    ("needs", "fits"),
    [
        (Needs(8, 0, 4 * GIB), True),
        (Needs(2, 1, 64 * GIB), True),
        (Needs(8, 0, 5 * GIB), False),  # each is there, but on two nodes
        (Needs(1, 2, GIB), False),
    ],
)
def test_what_no_single_node_has_is_refused(needs: Needs, fits: bool):
    if fits:
        refuse_too_large([needs], NODES)
        return
    with pytest.raises(UserError, match=r"none of the cluster's 2 has so much; lower compute\."):
        refuse_too_large([Needs(1, 0, GIB), needs], NODES)
