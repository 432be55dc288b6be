"""Settings by rank, whatever defends."""

from rankshift.analysis.defence_places import list_places, undress
from tests.result_rows import make_row

KL = {"kind": "kl", "strength": 0.1, "label": "kl 0.1"}


def test_a_twin_is_at_the_place_of_its_task_and_a_defended_arm_at_that_of_the_undefended():
    rows = [make_row("4-1", 32, 1), make_row("4-1", 32, 1, role="twin", dataset="good")]
    rows += [row | {"defence": KL} for row in rows]
    (place,) = list_places(rows, ((64.0,), ()))
    assert all(place.holds(undress(row)) for row in rows)
    assert not place.holds(make_row("16-1", 32, 1))


def test_a_setting_that_has_defended_arms_alone_is_a_place():
    rows = [make_row("4-1", 32, 1, defence=KL), make_row("16-2", 32, 1, defence=KL)]
    places = list(list_places(rows, ((64.0,), ())))
    assert [place.key["rank"] for place in places] == [4, 16]


def test_an_arm_that_two_rules_for_alpha_agree_on_is_at_two_places():
    rows = [make_row("32-1", 32, 1)]
    places = list(list_places(rows, ((64.0, "2r"), ())))
    assert [place.key["alpha"] for place in places] == [64.0, "2r"]


def test_full_finetunes_of_two_rates_are_two_places_after_the_ranks():
    none = dict.fromkeys(("rank", "alpha", "scaling", "u", "trains_a", "target_modules", "layers"))
    rows = [
        make_row("4-1", 32, 1) | none | {"method": "full", "learning_rate": rate}
        for rate in (1e-4, 1e-5)
    ]
    places = list(list_places([*rows, make_row("4-1", 32, 1)], ((64.0,), ())))
    assert [(p.key["method"], p.key["learning_rate"]) for p in places] == [
        ("lora", 1e-3),
        ("full", 1e-5),
        ("full", 1e-4),
    ]
    assert [place.holds(rows[0]) for place in places] == [False, False, True]
