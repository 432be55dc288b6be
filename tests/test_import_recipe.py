from rankshift.import_recipe import make_import_recipe
from rankshift.study import Import


def test_a_recipe_has_an_entry_for_each_file_and_an_empty_hash_for_one_not_met():
    tables = [Import("a.csv", "judge-1"), Import("b.csv", "judge-2", question_set="main")]
    recipe = make_import_recipe(tables, {"b.csv": "f" * 64})
    assert recipe.sha256 == ("", "f" * 64)
    assert recipe.judges == ("judge-1", "judge-2")
    assert recipe.question_sets == (None, "main")
