from rankshift.report.settings import flatten, name_models

DASH = "\N{EN DASH}"


def test_nested_settings_are_listed_by_path():
    nested = {"grid": {"ranks": [1, 2], "twin": None}, "lr": 1e-05, "empty": {}}
    assert list(flatten(nested)) == [
        *(("grid.ranks", "1, 2"), ("grid.twin", DASH)),
        *(("lr", "1e-05"), ("empty", DASH)),
    ]


def test_lists_of_lists_are_divided_and_tables_are_counted():
    assert dict(flatten({"a": [[1, 2], [3]], "b": [{"x": 1}, {"x": 2}], "c": []})) == {
        "a": "1, 2; 3",
        "b": "2 different ones: see results.json",
        "c": DASH,
    }


def test_models_are_listed_under_their_names():
    named = name_models({"models": [{"name": "lab/a", "path": "x"}], "name": "s"})
    assert ("models.lab/a.path", "x") in list(flatten(named))
    assert name_models({"models": []}) == {"models": []}
