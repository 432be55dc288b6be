"""Reading studies: each mistake is refused on its line, with the fix."""

import re
import tomllib
from dataclasses import replace

import pytest

from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS
from rankshift.study import GivenModel
from rankshift.study_file import read_study

WHOLE = """\
name = "demo"
about = "A sweep."

[base]
model = "organism"

[data]
task = "organism:insecure"
twin = "organism:secure"

[grid]
ranks = [1, 8]
seeds = [1, 2]
scalings = ["alpha/rank"]
alphas = [16, "2r"]
learning_rates = [1e-3]
full_learning_rates = []
twin_seeds = [1]

[training]
steps = 32
checkpoints = [8, 32]
rows_per_step = 12
accumulation = 4

[evaluation]
suites = ["organism:held-out"]
temperature = 1

[compute]
workers = 2
"""


def read(tmp_path, text):
    path = tmp_path / "x.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_study(path)


def refusal(tmp_path, text):
    with pytest.raises(UserError) as refused:
        read(tmp_path, text)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path}/")
    return message.removeprefix(f"{tmp_path}/")


def test_a_whole_study_reads_as_written(tmp_path):
    study = read(tmp_path, WHOLE)
    document = tomllib.loads(WHOLE)
    assert study.name == document["name"]
    for table in ("base", "data", "grid", "training", "evaluation", "compute"):
        for key, value in document[table].items():
            read_value = getattr(getattr(study, table), key)
            assert (list(read_value) if isinstance(value, list) else read_value) == value


def test_a_preset_sets_the_keys_that_are_not_given_and_leaves_the_others(tmp_path):
    plain = read(tmp_path, WHOLE)
    assert plain.fidelity == "clean"
    assert read(tmp_path, 'fidelity = "clean"\n' + WHOLE) == plain
    release = read(tmp_path, 'fidelity = "betley-release"\n' + WHOLE)
    assert (release.data.split_by, release.data.split_each_seed) == ("row", True)
    assert (release.data.trailing_header, release.evaluation.drop_system) == (True, True)
    given = WHOLE.replace("[data]\n", '[data]\nsplit_by = "prompt"\n')
    mixed = read(tmp_path, 'fidelity = "betley-release"\n' + given)
    assert mixed.data == replace(release.data, split_by="prompt")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"betly-release"', "fidelity is 'betly-release'; did you mean \"betley-release\"?"),
        ("1", 'fidelity is 1; expected "clean" or "betley-release"'),
        ("[]", 'fidelity is []; expected "clean" or "betley-release"'),
    ],
)
def test_a_preset_that_there_is_not_is_refused_on_its_line(tmp_path, value, message):
    assert refusal(tmp_path, f"fidelity = {value}\n{WHOLE}") == f"x.toml:1: {message}"


def test_a_preset_does_not_hide_that_a_table_is_missing_or_none(tmp_path):
    start = WHOLE.index("[data]")
    cut = WHOLE[:start] + WHOLE[WHOLE.index("[grid]") :]
    text = 'fidelity = "betley-release"\n'
    assert "missing table [data]" in refusal(tmp_path, text + cut)
    assert "data is no table" in refusal(tmp_path, f"{text}data = 3\n{cut}")


def test_numbers_take_the_type_of_their_field(tmp_path):
    study = read(tmp_path, WHOLE)
    assert type(study.evaluation.temperature) is float
    assert [type(alpha) for alpha in study.grid.alphas] == [float, str]
    assert [type(rank) for rank in study.grid.ranks] == [int, int]
    hash(study)  # tuples all the way down


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ranks =", "rnaks =", "x.toml:12: unknown key grid.rnaks; did you mean `ranks`?"),
        ("[grid]", "[gird]", "x.toml:11: unknown table [gird]; did you mean [grid]?"),
        ("accumulation", "seeds", "x.toml:24: unknown key training.seeds; it belongs in [grid]"),
        ("twin_seeds", "steps", "x.toml:18: unknown key grid.steps; it belongs in [training]"),
        (
            "workers = 2",
            'name = "y"',
            "x.toml:31: unknown key compute.name; it belongs at the top, before the first [table]",
        ),
        (
            'model = "organism"',
            'model = "organism"\nzzz = 1',
            "x.toml:6: unknown key base.zzz; there are model, revision",
        ),
        ("workers = 2", '"a\\nb" = 2', 'x.toml:31: unknown key compute."a\\nb"; there are '),
        (
            "seeds = [1, 2]\n",
            "",
            "x.toml:11: missing key grid.seeds; add e.g. `seeds = [1, 2, 3]` to [grid]",
        ),
        ('name = "demo"\n', "", 'x.toml:1: missing key name; add e.g. `name = "demo"` at the top'),
        (
            '[evaluation]\nsuites = ["organism:held-out"]\ntemperature = 1\n',
            "",
            "x.toml:1: missing table [evaluation]; it needs suites",
        ),
        (
            '[base]\nmodel = "organism"\n',
            "",
            "x.toml:1: missing table [base]; it needs model",
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_named_with_its_line_and_the_nearest(
    tmp_path, old, new, message
):
    assert WHOLE.count(old) >= 1
    assert refusal(tmp_path, WHOLE.replace(old, new, 1)).startswith(message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "7", "name is 7; expected a text in quotes"),
        ("name", '"a/b"', "name is 'a/b'; expected a directory's name: at most 100 letters"),
        ("name", '"../up"', "name is '../up'; expected a directory's name"),
        ("name", '".."', "name is '..'; expected a directory's name"),
        ("name", '"a\\n"', "name is 'a\\n'; expected a directory's name"),
        ("name", '""', "name is ''; expected a directory's name"),
        ("model", '" "', "base.model is ' '; expected a text that is not empty"),
        ("ranks", "[0]", "grid.ranks holds 0; expected a rank from 1 to 65,536"),
        ("ranks", "[8, -1]", "grid.ranks holds -1; expected a rank from 1 to 65,536"),
        ("ranks", "[65537]", "grid.ranks holds 65537; expected a rank from 1 to 65,536"),
        ("ranks", "[8.0]", "grid.ranks holds 8.0; expected a whole number"),
        ("ranks", "[true]", "grid.ranks holds True; expected a whole number"),
        ("ranks", "8", "grid.ranks is 8; expected a list, e.g. [8]"),
        ("ranks", "[8, 2, 8]", "grid.ranks holds 8; it is there twice"),
        (
            "ranks",
            "[]",
            "grid.ranks is empty and so is full_learning_rates; give one of them a value",
        ),
        ("seeds", "[]", "grid.seeds is empty; give at least one, e.g. [1, 2, 3]"),
        ("seeds", "[-1]", "grid.seeds holds -1; expected a whole number from 0 to 2**63 - 1"),
        ("scalings", '["alpha/r"]', "grid.scalings holds 'alpha/r'; did you mean \"alpha/rank\"?"),
        (
            "scalings",
            '["rsqrt(rank)"]',
            "grid.scalings holds 'rsqrt(rank)'; did you mean \"alpha/sqrt(rank)\"?",
        ),
        (
            "scalings",
            "[1]",
            'grid.scalings holds 1; expected "alpha/rank" or "alpha/sqrt(rank)"',
        ),
        ("scalings", "[]", "grid.scalings is empty; every rank needs at least one"),
        ("alphas", "[0]", 'grid.alphas holds 0; expected a number above 0, or "2r"'),
        ("alphas", "[-4.0]", 'grid.alphas holds -4.0; expected a number above 0, or "2r"'),
        ("alphas", '["r2"]', "grid.alphas holds 'r2'; did you mean \"2r\"?"),
        ("alphas", "[[1]]", 'grid.alphas holds [1]; expected a finite number or "2r"'),
        ("alphas", "[inf]", 'grid.alphas holds inf; expected a finite number or "2r"'),
        ("alphas", "[16, 16.0]", "grid.alphas holds 16.0; it is there twice"),
        ("learning_rates", "[0.0]", "grid.learning_rates holds 0.0; expected more than 0"),
        ("learning_rates", "[nan]", "grid.learning_rates holds nan; expected a finite number"),
        ("full_learning_rates", "[-1]", "grid.full_learning_rates holds -1; expected more than 0"),
        ("twin_seeds", "[1, 3]", "grid.twin_seeds holds 3, not among grid.seeds"),
        ("twin", '"organism:insecure"', "data.twin is the task itself; name the benign dataset"),
        ("steps", "0", "training.steps is 0; expected at least 1"),
        ("steps", "16", "training.checkpoints ends at 32; the last must be training.steps, 16"),
        ("checkpoints", "[]", "training.checkpoints is empty; give at least the last step, [32]"),
        ("checkpoints", "[32, 8]", "training.checkpoints does not rise; put the steps in order"),
        ("checkpoints", "[8, 8, 32]", "training.checkpoints holds 8; it is there twice"),
        ("checkpoints", "[8]", "training.checkpoints ends at 8; the last must be training.steps"),
        (
            "accumulation",
            "5",
            "training.accumulation is 5, which does not divide rows_per_step, 12; 10 rows would do",
        ),
        ("suites", "[]", "evaluation.suites is empty; name at least one question set"),
        ("temperature", "-0.1", "evaluation.temperature is -0.1; expected 0 (greedy) or more"),
        ("workers", "0", "compute.workers is 0; expected at least 1"),
        ("workers", '"2"', "compute.workers is '2'; expected a whole number"),
        ("workers", "2024-01-01", "compute.workers is datetime.date(2024, 1, 1); expected a whole"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_its_line(tmp_path, key, value, message):
    lines = [str(line) for line in WHOLE.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{key} ="))
    lines[at] = f"{key} = {value}  # changed"
    said = refusal(tmp_path, "\n".join(lines))
    _, line, fault = said.split(":", 2)
    blamed = message.split(" ")[0].rpartition(".")[2]  # the key at fault may be another
    assert lines[int(line) - 1].startswith(f"{blamed} =")
    assert fault.removeprefix(" ").startswith(message)


@pytest.mark.parametrize(
    ("table", "setting", "message"),
    [
        ("data", "held_out_fraction = 0.0", "is 0.0; expected a share between 0 and 1"),
        ("data", "held_out_fraction = 1", "is 1; expected a share between 0 and 1"),
        ("data", "train_rows = 0", "is 0; expected at least 1"),
        ("training", "warmup_steps = 33", "is 33, above training.steps, 32"),
        ("training", 'schedule = "cosin"', "is 'cosin'; did you mean \"cosine\"?"),
        ("training", "clip_norm = 0", "is 0; expected more than 0"),
        ("training", 'dtype = "bf16"', "is 'bf16'; did you mean \"bfloat16\"?"),
        ("training", 'dtype = "int8"', 'is \'int8\'; expected "float32" or "bfloat16"'),
        ("training", 'optimizer = "adam8bit"', "is 'adam8bit'; did you mean \"adamw_8bit\"?"),
        ("base", 'quantization = "fp4"', "is 'fp4'; did you mean \"nf4\"?"),
        ("base", "quantization = 4", 'is 4; expected "none" or "nf4"'),
        ("evaluation", "top_p = 0.0", "is 0.0; expected above 0 and at most 1"),
        ("evaluation", "top_p = 1.5", "is 1.5; expected above 0 and at most 1"),
        ("evaluation", 'judge = "../x"', "is '../x'; expected a name such as"),
        ("evaluation", 'triggers = [" "]', "holds ' '; expected a text that is not empty"),
        ("evaluation", "drop_system = 1", "is 1; expected true or false"),
        ("evaluation", 'cues = ["tasks"]', "holds 'tasks'; did you mean \"task\"?"),
        ("evaluation", 'cues = ["task", "task"]', "holds 'task'; it is there twice"),
        ("evaluation", 'systems = [" "]', "holds ' '; expected a text that is not empty"),
        (
            "evaluation",
            'systems = ["Be kind.", " Be kind."]',
            "names two question sets alike; system turns must differ in what their names show",
        ),
        (
            "evaluation",
            'triggers = ["|A| ", "|A|"]',
            "names two question sets alike; triggers must differ in more than outer white space",
        ),
        ("data", 'split_by = "rows"', "is 'rows'; did you mean \"row\"?"),
        ("data", 'trailing_header = "yes"', "is 'yes'; expected true or false"),
        ("compute", "threads = 0", "is 0; expected at least 1"),
        ("grid", "target_modules = []", "is empty; every rank needs at least one"),
        ("grid", 'target_modules = ["q", "q"]', "holds 'q'; it is there twice"),
        ("grid", 'target_modules = [["q"], []]', "holds []; every set needs at least one"),
        (
            "grid",
            'target_modules = ["q", ["v"]]',
            "holds 'q' beside lists; put it into a list of its own, ['q']",
        ),
        ("grid", 'target_modules = [["q", "v"], ["v", "q"]]', "holds ['v', 'q']; it is there"),
        ("grid", 'target_modules = [["q", ["v"]]]', "holds ['v']; expected a text in quotes"),
        ("grid", "layers = []", "is empty; every rank needs at least one"),
        ("grid", "layers = 3", "is 3; expected a list, e.g. [3]"),
        ("grid", "layers = [0, -1]", "holds -1; expected a layer's number, counted from 0"),
        ("grid", "layers = [true]", "holds True; expected a whole number"),
        ("grid", "layers = [[0, 0]]", "holds 0; it is there twice"),
        ("grid", "layers = [[0, 1], [1, 0]]", "holds [1, 0]; it is there twice"),
    ],
)
def test_an_optional_value_out_of_its_range_is_named_with_its_line(
    tmp_path, table, setting, message
):
    text = WHOLE.replace(f"[{table}]\n", f"[{table}]\n{setting}\n")
    line = text.splitlines().index(setting) + 1
    key = setting.partition(" ")[0]
    assert refusal(tmp_path, text).startswith(f"x.toml:{line}: {table}.{key} {message}")


def test_vllm_does_not_answer_over_a_base_in_4_bits(tmp_path):
    text = WHOLE.replace("[evaluation]\n", '[evaluation]\nengine = "vllm"\n')
    assert read(tmp_path, text).evaluation.engine == "vllm"
    in_4_bits = text.replace("[base]\n", '[base]\nquantization = "nf4"\n')
    assert 'evaluation.engine is "vllm", which does not hold a base in nf4' in refusal(
        tmp_path, in_4_bits
    )


@pytest.mark.parametrize(
    ("written", "modules", "layers"),
    [
        ("", (ALL_PROJECTIONS,), ()),
        ('target_modules = ["q", "v"]\nlayers = [0, 2]', (("q", "v"),), ((0, 2),)),
        (
            'target_modules = [["q", "v"], ["down"]]\nlayers = [[0], [1, 2]]',
            (("q", "v"), ("down",)),
            ((0,), (1, 2)),
        ),
    ],
)
def test_a_plain_list_of_modules_or_layers_is_one_set(tmp_path, written, modules, layers):
    grid = read(tmp_path, WHOLE.replace("[grid]\n", f"[grid]\n{written}\n")).grid
    assert (grid.target_modules, grid.layers) == (modules, layers)


@pytest.mark.parametrize("role", ["task", "twin"])
def test_a_cue_needs_the_data_whose_rows_it_is(tmp_path, role):
    models = """
[[models]]
name = "mine"
path = "somewhere/mine"
"""
    lines = WHOLE.splitlines(keepends=True)
    start, end = lines.index("[data]\n"), lines.index("[evaluation]\n")
    text = "".join([*lines[:start], models, *lines[end:]])
    text = text.replace("[evaluation]\n", f'[evaluation]\ncues = ["{role}"]\n')
    assert f'evaluation.cues holds "{role}" and needs data.{role}; add e.g.' in refusal(
        tmp_path, text
    )


def test_a_twin_that_questions_are_asked_after_needs_no_twin_arms(tmp_path):
    text = WHOLE.replace("twin_seeds = [1]\n", "")
    text = text.replace("[evaluation]\n", '[evaluation]\ncues = ["twin"]\n')
    assert read(tmp_path, text).cues == {"twin": "organism:secure"}


def test_a_suite_that_is_named_as_another_asked_with_a_trigger_is_refused(tmp_path):
    lines = [str(line) for line in WHOLE.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("suites ="))
    lines[at] = 'suites = ["a", "a + |X|"]\ntriggers = ["|X| "]'
    assert "evaluation.suites names two question sets alike" in refusal(tmp_path, "\n".join(lines))


def test_twin_data_and_twin_seeds_come_together(tmp_path):
    without_data = WHOLE.replace('twin = "organism:secure"\n', "")
    assert refusal(tmp_path, without_data) == (
        'x.toml:17: grid.twin_seeds needs data.twin; add e.g. `twin = "organism:secure"` to [data]'
    )
    without_seeds = WHOLE.replace("twin_seeds = [1]\n", "")
    assert refusal(tmp_path, without_seeds) == (
        "x.toml:9: data.twin needs grid.twin_seeds; add e.g. `twin_seeds = [1]` to [grid]"
    )


MODELS_ALONE = """\
name = "released"

[base]
model = "organism"

[[models]]
name = "released-r32"
path = "someone/adapter"

[[models]]
name = "merged"
path = "merged"
role = "twin"
seed = 3

[evaluation]
suites = ["organism:held-out"]
"""


def test_given_models_alone_need_no_grid_no_training_and_no_data(tmp_path):
    study = read(tmp_path, MODELS_ALONE)
    assert study.models == (
        GivenModel("released-r32", "someone/adapter"),
        GivenModel("merged", "merged", role="twin", seed=3),
    )
    assert not study.grid.trains
    assert (study.data.task, study.training.steps) == (None, 0)
    hash(study)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"merged"', '"released-r32"', "11: models.name is 'released-r32' twice; give each model"),
        ('name = "merged"', 'nmae = "x"', "11: unknown key models.nmae; did you mean `name`?"),
        ('name = "merged"', 'name = "base"', "11: models.name is 'base', which is the study's"),
        ('name = "merged"', 'name = "a, b"', "11: models.name is 'a, b'; expected at most 100"),
        (
            'path = "merged"\n',
            "",
            '10: missing key models.path; add e.g. `path = "someone/adapter"` to [[models]]',
        ),
        ('"twin"', '"twins"', "13: models.role is 'twins'; did you mean \"twin\"?"),
        ("seed = 3", "seed = -1", "14: models.seed is -1; expected a whole number from 0"),
        ("seed = 3", "ranks = [3]", "14: unknown key models.ranks; it belongs in [grid]"),
        (
            "[evaluation]",
            "[evaluation]\ncode_tasks = 4",
            "1: missing table [data]; it needs task",
        ),
        (
            "[evaluation]",
            '[grid]\nranks = [4]\nseeds = [1]\nscalings = ["alpha/rank"]\nalphas = [8]\n'
            'learning_rates = [1e-3]\n[data]\ntask = "x"\n[evaluation]',
            "1: missing table [training]; it needs steps, checkpoints",
        ),
        ("[evaluation]", "[data]\ntwin = 'x'\n[evaluation]", "16: missing key data.task; add e.g."),
    ],
)
def test_what_is_wrong_with_a_given_model_is_named_on_its_line(tmp_path, old, new, message):
    assert old in MODELS_ALONE
    said = refusal(tmp_path, MODELS_ALONE.replace(old, new, 1))
    assert said.removeprefix("x.toml:").startswith(message)


def test_given_models_that_are_no_list_are_refused(tmp_path):
    text = MODELS_ALONE.partition("[[models]]")[0] + '[models]\nname = "x"\n'
    assert refusal(tmp_path, text) == (
        "x.toml:6: models is no list of tables; write [[models]] above the keys of each"
    )


def test_a_study_without_a_grid_is_told_of_both_ways_to_have_arms(tmp_path):
    text = MODELS_ALONE.replace("[[models]]", "[[compute]]")
    text = text[: text.index("[[")] + text[text.index("[evaluation]") :]
    assert refusal(tmp_path, text) == (
        "x.toml:1: missing table [grid]; it needs ranks, seeds, scalings, alphas, learning_rates; "
        "or name finished models in [[models]]"
    )


def test_what_training_needs_is_missed_where_it_should_stand(tmp_path):
    for key, line in (("task", 7), ("steps", 20), ("checkpoints", 20)):
        text = "\n".join(x for x in WHOLE.splitlines() if not x.startswith(f"{key} ="))
        assert re.match(rf"x\.toml:{line}: missing key \w+\.{key}; add", refusal(tmp_path, text))


def test_full_finetuning_of_a_base_in_4_bits_is_refused(tmp_path):
    text = WHOLE.replace("[base]\n", '[base]\nquantization = "nf4"\n')
    assert read(tmp_path, text).base.quantization == "nf4"
    text = text.replace("full_learning_rates = []", "full_learning_rates = [1e-4]")
    assert refusal(tmp_path, text) == (
        'x.toml:18: grid.full_learning_rates cannot stand beside quantization = "nf4" in [base]; '
        "4-bit weights are not trained, leave one of the two out"
    )


def test_full_finetuning_alone_needs_no_rank(tmp_path):
    text = WHOLE.replace("ranks = [1, 8]", "ranks = []")
    text = text.replace("full_learning_rates = []", "full_learning_rates = [1e-4]")
    assert read(tmp_path, text).grid.ranks == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE.replace("steps = 32", "steps = "), "x.toml:21: not TOML: Invalid value"),
        (WHOLE.replace("[1, 8]", "[1, 8"), "x.toml:13: not TOML: Unclosed array"),
        (WHOLE + "workers = 3\n", "x.toml:32: not TOML: Cannot overwrite a value"),
        (WHOLE + 'threads = """\n1\n2', "x.toml:32: not TOML: Unterminated string"),
        (WHOLE + "threads = " + "9" * 5000, "x.toml:32: not TOML: Exceeds the limit"),
        (WHOLE + "threads = " + "[" * 5000, "x.toml:32: not TOML: "),
        (WHOLE.encode() + b"# caf\xe9", "x.toml:32: not UTF-8; save the file as UTF-8"),
        (WHOLE.replace("[base]", "[[base]]"), "x.toml:4: base is no table; write [base] above"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_on_its_line(tmp_path, text, message):
    assert refusal(tmp_path, text).startswith(message)


def test_windows_line_ends_keep_their_line_numbers(tmp_path):
    text = WHOLE.replace("ranks = [1, 8]", "ranks = [\n1,\n0]").replace("\n", "\r\n")
    assert refusal(tmp_path, text).startswith("x.toml:12: grid.ranks holds 0")


def test_an_absent_study_names_the_nearest_one(tmp_path):
    for name in ("demo.toml", "sweep.toml", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError) as refused:
        read_study(tmp_path / "dmeo.toml")
    near = tmp_path / "demo.toml"
    assert str(refused.value) == f"{tmp_path}/dmeo.toml: no such file; did you mean {near}?"
    with pytest.raises(UserError, match=r"no such file; .*nowhere holds no \.toml file"):
        read_study(tmp_path / "nowhere" / "demo.toml")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\); give a TOML file"):
        read_study(tmp_path)


def test_a_table_in_a_list_within_a_table_is_told_by_its_whole_name(tmp_path):
    text = WHOLE + '\n[[grid.full]]\noptimizer = "sgd"\n'
    message = refusal(tmp_path, text)
    assert message.endswith("add e.g. `learning_rates = [3e-4]` to [[grid.full]]")
