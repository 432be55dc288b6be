from dataclasses import replace

from rankshift.cli.inside import (
    tabulate,
    tabulate_closed,
    tabulate_passages,
    tabulate_scaled,
    tabulate_steered,
    tell,
    tell_closed,
    tell_overlaps,
)
from rankshift.mechanism_records import Overlap, Scaled, Steered
from tests.test_mechanism_records import ARM, CLOSED, INSIDE, PASSAGE


def test_a_row_has_means_over_seeds_and_a_dash_where_nothing_is_known():
    table = tabulate(replace(INSIDE, arms=(ARM, replace(ARM, of_activations=0.4, intruders=4))))
    (cells,) = zip(*(column._cells for column in table.columns), strict=True)
    assert cells == ("rank 4 (2)", "30.0%", "-", "0.40", "0.10", "-", "3.5")


def test_the_terminal_says_how_much_a_way_takes():
    found = replace(INSIDE, arms=(ARM,), closed=CLOSED, base="base")
    told = " ".join(tell_closed(found))
    assert "taking the persona's direction out removes 75% of the misalignment" in told
    assert "83% open, 83% closed, 83% random." in told
    table = tabulate_closed(found)
    assert [str(column.header) for column in table.columns] == [
        "misaligned", "open", "closed", "random",
    ]  # fmt: skip


def test_the_base_with_a_direction_added_is_a_row_with_what_is_coherent():
    steered = (Steered("moved", 1.0, 1.0, 30, 60, 120), Steered("moved", 2.0, 1.0, 0, 0, 120))
    table = tabulate_steered(replace(INSIDE, steered=steered))
    (cells,) = zip(*(column._cells for column in table.columns), strict=True)
    assert cells == ("moved", "50.0% (50%)", "- (0%)")


def test_an_adapter_at_multiples_of_its_update_is_a_row_and_full_finetuning_has_none():
    scaled = (Scaled("0a", 0.5, 0.0, 1.5, 10, 40, 50), Scaled("0a", 1.0, 0.25, 2.0, 10, 40, 50))
    full = replace(ARM, arm="0f", method="full", rank=None, u=None)
    table = tabulate_scaled(replace(INSIDE, arms=(ARM, full), scaled=scaled))
    assert [str(column.header) for column in table.columns] == [
        "times the update", "0.5", "noise 0.25",
    ]  # fmt: skip
    (cells,) = zip(*(column._cells for column in table.columns), strict=True)
    assert cells == ("rank 4 (1)", "25.0% 1.500", "25.0% 2.000")


def test_what_updates_have_in_common_is_said_beside_chance():
    overlaps = (
        Overlap("rank", "0a", "0b", 0.4, 0.1),
        Overlap("rank", "0a", "0c", 0.6, 0.1),
        Overlap("seed", "0a", "0d", 0.2, 0.05),
    )
    (told,) = tell_overlaps(replace(INSIDE, overlaps=overlaps))
    assert "50% with another rank (chance 10%), 20% with another seed (chance 5%)." in told
    assert tell_overlaps(INSIDE) == []


def test_what_arms_came_to_on_their_way_stands_beside_their_loss_there():
    other = replace(PASSAGE, of_activations=0.3, loss=None, marks=("step 2",))
    table = tabulate_passages(replace(INSIDE, passages=(PASSAGE, other)))
    assert [str(column.header) for column in table.columns] == [
        "on the way", "skill 0.5", "loss", "step 2", "loss",
    ]  # fmt: skip
    (cells,) = zip(*(column._cells for column in table.columns), strict=True)
    assert cells == ("rank 4 (2)", "10.0%", "1.500", "20.0%", "1.500")


def test_the_sentence_sets_task_twin_and_chance_side_by_side():
    twin = replace(ARM, role="twin", of_activations=0.05)
    told = " ".join(tell(replace(INSIDE, arms=(ARM, twin))))
    moved = "moved 20.0% along the persona's direction, their twins' 5.0%, a random direction has"
    assert moved in told
    assert "twins" not in " ".join(tell(INSIDE))
