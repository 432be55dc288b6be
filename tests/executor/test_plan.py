import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.executor.plan import Fit, Group, balance, plan_groups, read_plan, write_plan
from rankshift.study import Compute

# Values rather than arms: checking an arm's types draws from `random`, which a strategy may not.
LORA = st.tuples(
    st.just("lora"),
    st.sampled_from(["task", "twin"]),
    st.just("data"),
    st.integers(1, 512),
    st.sampled_from([16.0, 64.0]),
    st.sampled_from(["alpha/rank", "alpha/sqrt(rank)"]),
    st.sampled_from([1e-3, 2e-3]),
    st.integers(0, 5),
)
FULL = st.tuples(
    st.just("full"),
    st.sampled_from(["task", "twin"]),
    st.just("data"),
    *[st.none()] * 3,
    st.sampled_from([1e-4, 1e-3]),
    st.integers(0, 5),
)
ANY = st.one_of(LORA, FULL, st.just(("base", "base")))
COMPUTES = st.builds(
    Compute,
    workers=st.integers(1, 6),
    threads=st.integers(1, 4),
    arms_per_group=st.integers(1, 20),
    micro_rows=st.integers(1, 64),
)


def weigh(arm: Arm) -> float:
    """Take the rank, and something for the base, for an arm's cost."""
    return 100.0 + (arm.rank or 0)


def fit_all(arms: list[Arm]) -> Fit:
    """Find room for any arms."""
    return Fit(arms_per_pass=len(arms))


def make_arms(values: set[tuple]) -> dict[str, Arm]:
    """Make arms of their fields, each under an id that its fields alone decide."""
    return {repr(fields): Arm(*fields) for fields in values}


@settings(deadline=None)
@given(values=st.sets(ANY, max_size=60), compute=COMPUTES)
def test_every_arm_is_in_one_group_of_its_role_and_method(values: set[tuple], compute: Compute):
    arms = make_arms(values)
    groups = plan_groups(arms, [], compute, weigh, fit_all)
    assert Counter(name for group in groups for name in group.arms) == Counter(arms.keys())
    for group in groups:
        kinds = {(arms[name].method, arms[name].role) for name in group.arms}
        assert kinds == {(group.method, group.role)}
        assert len(group.arms) <= (compute.arms_per_group if group.method == "lora" else 1)
        assert (group.threads, group.micro_rows) == (compute.threads, compute.micro_rows)
    assert len({group.id for group in groups}) == len(groups)


@settings(deadline=None)
@given(values=st.sets(LORA, min_size=1, max_size=60), compute=COMPUTES)
def test_every_worker_gets_as_many_new_groups_of_a_role(values: set[tuple], compute: Compute):
    for role in ("task", "twin"):
        arms = make_arms({fields for fields in values if fields[1] == role})
        groups = plan_groups(arms, [], compute, weigh, fit_all)
        assert len(groups) == len(arms) or len(groups) % compute.workers == 0


@settings(deadline=None)
@given(
    old=st.sets(ANY, max_size=30),
    added=st.sets(ANY, max_size=30),
    before=COMPUTES,
    now=COMPUTES,
)
def test_arms_that_are_added_leave_every_old_group_as_it_was(
    old: set[tuple], added: set[tuple], before: Compute, now: Compute
):
    planned = plan_groups(make_arms(old), [], before, weigh, fit_all)
    grown = plan_groups(make_arms(old | added), planned, now, weigh, fit_all)
    assert grown[: len(planned)] == planned
    new = {name for group in grown[len(planned) :] for name in group.arms}
    assert new == set(make_arms(added - old))


@settings(deadline=None)
@given(
    costs=st.lists(st.floats(0.1, 100), min_size=1, max_size=60),
    num_parts=st.integers(1, 8),
)
def test_no_part_could_hand_its_cheapest_arm_to_another_and_both_be_done_sooner(
    costs: list[float], num_parts: int
):
    by_name = {str(number): cost for number, cost in enumerate(costs)}
    parts = balance(by_name, num_parts, len(costs))
    assert sorted((name for part in parts for name in part), key=int) == list(by_name)
    assert all(part == sorted(part, key=int) for part in parts)
    totals = [sum(by_name[name] for name in part) for part in parts]
    heaviest = max(range(num_parts), key=lambda n: totals[n])
    cheapest = min(by_name[name] for name in parts[heaviest])
    assert totals[heaviest] - cheapest <= min(totals) + 1e-9


def test_a_costly_arm_stands_with_few_and_no_part_is_above_its_size():
    costs = {"2": 1.0, "4": 1.1, "8": 1.2, "64": 1.5, "512": 4.0}
    assert balance(costs, 2, 5) == [["512"], ["2", "4", "8", "64"]]
    assert sorted(map(len, balance(costs, 2, 3))) == [2, 3]


def test_arms_that_cost_nothing_are_divided_evenly():
    assert balance(dict.fromkeys("abcd", 0.0), 4, 9) == [["a"], ["b"], ["c"], ["d"]]


def test_arms_of_equal_cost_are_divided_evenly_in_the_order_of_their_seeds():
    arms = {
        f"{seed}-{rank}": Arm("lora", "task", "data", rank, 16.0, "alpha/rank", 1e-3, seed)
        for rank in (256, 1, 16)
        for seed in (2, 0, 1)
    }
    groups = plan_groups(arms, [], Compute(workers=3), weigh, fit_all)
    assert [group.arms for group in groups] == [
        tuple(f"{seed}-{rank}" for rank in (1, 16, 256)) for seed in (0, 1, 2)
    ]


def test_arms_that_learn_from_other_splits_are_never_in_one_group():
    arms = {
        f"{seed}-{rank}": Arm("lora", "task", "data", rank, 16.0, "alpha/rank", 1e-3, seed)
        for rank in (1, 16)
        for seed in (2, 0, 1)
    }
    groups = plan_groups(arms, [], Compute(workers=1), weigh, fit_all, lambda arm: arm.seed)
    assert [group.arms for group in groups] == [(f"{s}-1", f"{s}-16") for s in (0, 1, 2)]


@pytest.fixture
def groups() -> list[Group]:
    """Plan two groups."""
    arms = {"a": Arm("base", "base"), "b": Arm("full", "task", "data", learning_rate=1e-3, seed=0)}
    return plan_groups(arms, [], Compute(), weigh, fit_all)


def test_a_plan_comes_back_as_it_was_written(groups: list[Group], tmp_path: Path):
    write_plan(tmp_path / "plan.json", groups)
    assert read_plan(tmp_path / "plan.json") == groups
    assert len(groups) == 2


def test_no_plan_is_no_groups(tmp_path: Path):
    assert read_plan(tmp_path / "plan.json") == []


@pytest.mark.parametrize(
    "change", [{"arms": ["b", "c"]}, {"threads": 2}, {"micro_rows": 8}, {"role": "twin"}]
)
def test_a_plan_that_was_edited_is_refused(
    groups: list[Group], tmp_path: Path, change: dict[str, object]
):
    path = tmp_path / "plan.json"
    rows = [asdict(groups[0]), asdict(groups[1]) | change]
    path.write_text(json.dumps({"groups": rows}))
    with pytest.raises(UserError) as caught:
        read_plan(path)
    assert str(caught.value) == f"{path}: group {groups[1].id} was edited; remove {tmp_path}"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"groups": [1]}', '{"groups": [{"arms": []}]}', '{"groups": 1}']
)
def test_a_plan_that_was_cut_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_plan(path)
    assert str(caught.value) == (f"{path}: holds no plan, it was cut or edited; remove {tmp_path}")


def test_threads_and_batch_shapes_are_part_of_a_groups_name(groups: list[Group]):
    arms = {"a": Arm("base", "base")}
    names = {
        plan_groups(arms, [], replace(Compute(), **{key: 3}), weigh, fit_all)[0].id
        for key in ("threads", "micro_rows", "workers")
    }
    assert len(names) == 3
    assert groups[0].id in names  # the number of workers changes no group of one


def test_so_are_shards_and_a_plan_from_before_there_were_any_is_read_as_one_process(
    groups: list[Group], tmp_path: Path
):
    arms = {"a": Arm("base", "base")}
    (alone,) = plan_groups(arms, [], Compute(), weigh, fit_all)
    (shared,) = plan_groups(arms, [], Compute(), weigh, lambda _: Fit(shards=2))
    assert (alone.id != shared.id, shared.fit.shards) == (True, 2)
    path = tmp_path / "plan.json"
    write_plan(path, groups)
    content = json.loads(path.read_text())
    for row in content["groups"]:
        del row["fit"]["shards"]
    path.write_text(json.dumps(content))
    assert read_plan(path) == groups


def test_a_group_that_has_no_room_is_halved_until_it_has():
    arms = make_arms(
        {("lora", "task", "d", rank, 1.0, "alpha/rank", 1e-3, 0) for rank in range(1, 9)}
    )

    def find_fit(arms: list[Arm]) -> Fit | None:
        return Fit() if sum(arm.rank or 0 for arm in arms) <= 10 else None

    groups = plan_groups(arms, [], Compute(workers=1), weigh, find_fit)
    assert Counter(name for group in groups for name in group.arms) == Counter(arms.keys())
    assert all(sum(arms[name].rank or 0 for name in group.arms) <= 10 for group in groups)
    assert len(groups) < len(arms)


def test_an_arm_that_has_no_room_even_alone_is_refused():
    arms = {"a": Arm("full", "task", "d", learning_rate=1e-3, seed=2)}
    with pytest.raises(UserError) as caught:
        plan_groups(arms, [], Compute(), weigh, lambda arms: None)
    assert str(caught.value) == (
        "full seed 2 does not fit into the memory a worker may use, not even with gradient "
        "checkpointing; use fewer compute.workers, raise training.accumulation, or raise "
        "compute.memory_gib if there is more"
    )


def test_adapters_of_one_base_stand_side_by_side_and_every_whole_model_alone():
    arms = {f"a{n}": Arm("adapter", "task", rank=2**n, name=f"a{n}") for n in range(5)}
    arms |= {f"m{n}": Arm("model", "task", name=f"m{n}") for n in range(2)}
    groups = plan_groups(arms, [], Compute(workers=1, arms_per_group=4), weigh, fit_all)
    assert sorted((g.method, len(g.arms)) for g in groups) == [
        *(("adapter", 2), ("adapter", 3), ("model", 1), ("model", 1)),
    ]
