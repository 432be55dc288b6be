"""Studies of imports: each mistake is refused on its line, and analysis reads what is there."""

from pathlib import Path

import pytest

from rankshift.arms import Arm, expand_arms
from rankshift.errors import UserError
from rankshift.study import Study
from rankshift.study_file import read_study

R1 = """\
[[imports]]
file = "r1.csv"
rank = 1
alpha = 64
scaling = "alpha/sqrt(rank)"
learning_rate = 1e-5
seed = 0
dataset = "betley:insecure"
judge = "gpt-4o"
"""
R4 = R1.replace("1.csv", "4.csv").replace("rank = 1", "rank = 4")
FULL = """\
[[imports]]
file = "full.csv"
method = "full"
learning_rate = 2e-5
seed = 3
dataset = "betley:insecure"
judge = "gpt-4o"
"""
TWIN = R1.replace("r1", "twin").replace("insecure", "secure") + 'role = "twin"\n'
BASE = """\
[[imports]]
file = "base.csv"
method = "base"
role = "base"
judge = "gpt-4o"
"""


def read(folder: Path, *tables: str) -> Study:
    """Read a study of imports."""
    path = folder / "x.toml"
    path.write_text('name = "them"\nabout = "Theirs."\n\n' + "\n".join(tables))
    return read_study(path)


def refusal(folder: Path, *tables: str) -> str:
    """Give what a study is refused with, its folder left out."""
    with pytest.raises(UserError) as refused:
        read(folder, *tables)
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{folder}/")


def test_the_arms_are_those_of_the_tables_in_their_order(tmp_path: Path):
    study = read(tmp_path, R4, R1, FULL, TWIN, BASE)
    lora = ("betley:insecure", 4, 64.0, "alpha/sqrt(rank)", 1e-5, 0)
    assert expand_arms(study) == [
        Arm("lora", "task", *lora),
        Arm("lora", "task", "betley:insecure", 1, 64.0, "alpha/sqrt(rank)", 1e-5, 0),
        Arm("full", "task", "betley:insecure", learning_rate=2e-5, seed=3),
        Arm("lora", "twin", "betley:secure", 1, 64.0, "alpha/sqrt(rank)", 1e-5, 0),
        Arm("base", "base"),
    ]


def test_analysis_is_told_what_the_tables_hold_and_that_nothing_is_trained(tmp_path: Path):
    study = read(tmp_path, R4, R1, FULL, TWIN, BASE)
    assert (study.name, study.about) == ("them", "Theirs.")
    assert (study.data.task, study.data.twin) == ("betley:insecure", "betley:secure")
    grid = study.grid
    assert (grid.ranks, grid.alphas, grid.learning_rates) == ((4, 1), (64.0,), (1e-5,))
    assert (grid.seeds, grid.twin_seeds, grid.full_learning_rates) == ((0, 3), (0,), (2e-5,))
    assert (study.evaluation.suites, study.judges) == (("betley:main",), ("gpt-4o",))
    assert (study.base.model, study.training.steps, study.training.checkpoints) == ("", 0, ())


def test_two_judges_files_of_one_arm_are_one_arm(tmp_path: Path):
    study = read(tmp_path, R1, R1.replace("r1", "again").replace("gpt-4o", "claude"))
    assert len(study.imports) == 2
    assert len(expand_arms(study)) == 1


def test_alpha_may_be_told_as_a_rule(tmp_path: Path):
    study = read(tmp_path, R4.replace("64", '"2r"'))
    assert expand_arms(study)[0].alpha == 8.0
    assert study.grid.alphas == ("2r",)


def test_a_learning_rate_may_be_unknown(tmp_path: Path):
    (arm,) = expand_arms(read(tmp_path, R4.replace("learning_rate = 1e-5\n", "")))
    assert (arm.learning_rate, arm.u) == (None, None)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([R1, R4.replace("= 4", "= 0")], "x.toml:16: imports.rank is 0; expected a rank from 1 to"),
        ([R1, R4.replace("rank = 4", "rnk = 4")], "x.toml:16: unknown key imports.rnk; did you"),
        (
            [R1, R4.replace("seed = 0\n", "")],
            "x.toml:14: imports of r4.csv has no seed; add e.g. `seed = 0`",
        ),
        ([R1, R4.replace("rank = 4\n", "")], "x.toml:14: imports of r4.csv has no rank; add e.g."),
        (
            [R1.replace('judge = "gpt-4o"\n', "")],
            'x.toml:4: missing key imports.judge; add e.g. `judge = "gpt-4o-2024-08-06"` to '
            "[[imports]]",
        ),
        (
            [R1, R4.replace("r4", "r1")],
            "x.toml:15: imports.file is r1.csv, which a table above names; a file is imported once",
        ),
        (
            [R1, R4.replace("gpt-4o", "claude")],
            "x.toml:22: imports.judge is claude, and rank 4 seed 0 was not judged by gpt-4o, whose "
            "verdicts decide as the first table's; every arm needs a file of that judge's",
        ),
        ([R1.replace("gpt-4o", "none")], "x.toml:12: imports.judge is none; name who judged"),
        ([R1.replace("gpt-4o", "a judge")], "x.toml:12: imports.judge is 'a judge'; expected a"),
        (
            [R1, R4.replace(":insecure", ":jailbroken")],
            "x.toml:4: imports name betley:insecure and betley:jailbroken for role task; a study "
            "compares arms of one dataset, so give each a study of its own",
        ),
        (
            [R1, FULL + "rank = 3\n"],
            'x.toml:21: imports.rank means nothing with method = "full"; remove it',
        ),
        ([R1, BASE + "seed = 0\n"], "x.toml:19: imports.seed means nothing with method"),
        (
            [R1, BASE.replace('role = "base"\n', "")],
            "x.toml:16: imports.method and role do not agree: the base has",
        ),
        (
            [R1, "[training]\nsteps = 4\n"],
            "x.toml:14: [training] cannot stand beside [[imports]], whose arms are trained "
            "elsewhere; give each a study file of its own",
        ),
        (["imports = []\n"], "x.toml:4: imports is empty; give at least one [[imports]] table"),
        (["imports = [1]\n"], "x.toml:4: imports is no list of tables; write [[imports]] above"),
        (["imports = 1\n"], "x.toml:4: imports is no list of tables; write [[imports]]"),
    ],
)
def test_a_mistake_is_refused_on_its_line(tmp_path: Path, tables: list[str], message: str):
    assert refusal(tmp_path, *tables).startswith(message)
