"""Studies of models trained elsewhere, from the file to the page."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from transformers import AutoTokenizer

from rankshift.errors import UserError
from rankshift.executor.run import Watch, run_study
from rankshift.organism.shelf import base_directory
from rankshift.records import AnswerRecord, HeldOutRecord, read_records
from rankshift.runs import StudyRun
from rankshift.status import describe_progress
from rankshift.study_file import read_study
from tests.executor.conftest import QUESTIONS, write_rows
from tests.given_models import WARNING, save_adapter, save_merged

pytestmark = pytest.mark.filterwarnings(WARNING)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/results.schema.json").read_text())


@pytest.fixture
def models(tiny_model_directory: Path, tmp_path: Path) -> dict[str, Path]:
    """Save two adapters alike but for their ranks, one uneven, and a whole model."""
    base = tiny_model_directory
    return {
        "small": save_adapter(tmp_path / "small", base, 1, r=2, lora_alpha=4),
        "large": save_adapter(tmp_path / "large", base, 2, r=8, lora_alpha=16),
        "uneven": save_adapter(tmp_path / "uneven", base, 3, rank_pattern={"q_proj": 2}),
        "whole": save_merged(tmp_path / "whole", base, 2),
    }


@pytest.fixture
def write_given(tiny_model_directory: Path, tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a study of given models alone."""

    def write(models: dict[str, Path], *changes: tuple[str, str], also: str = "") -> Path:
        (tmp_path / "questions.yaml").write_text(QUESTIONS)
        text = f'name = "given"\n[base]\nmodel = "{tiny_model_directory}"\n'
        for name, path in models.items():
            text += f'[[models]]\nname = "{name}"\npath = "{path}"\n'
        text += f'[evaluation]\nsuites = ["{tmp_path}/questions.yaml"]\nmax_answer_tokens = 8\n'
        text += f"answers_per_question = 2\n[compute]\nworkers = 1\n{also}"
        for change in changes:
            assert change[0] in text, change
            text = text.replace(*change)
        path = tmp_path / "given.toml"
        path.write_text(text)
        return path

    return write


def run(path: Path, root: Path) -> tuple[StudyRun, dict, list[str]]:
    lines: list[str] = []
    done = run_study(read_study(path), root, Watch(lambda *_: None, lambda *_: None, lines.append))
    results = json.loads(done.results_path.read_text())
    jsonschema.validate(results, SCHEMA)
    return done, results, lines


def test_models_alone_are_asked_and_shown_without_grid_training_or_data(
    models: dict[str, Path], write_given: Callable[..., Path], tmp_path: Path
):
    done, results, _ = run(write_given(models), tmp_path / "runs")
    rows = {row["label"]: row for row in results["arms"]}
    assert list(rows) == ["base", "small", "large", "uneven", "whole"]
    told = {
        n: [r[k] for k in ("method", "rank", "alpha", "scale", "step")] for n, r in rows.items()
    }
    assert told == {
        "base": ["base", None, None, None, 0],
        "small": ["adapter", 2, 4.0, 2.0, 0],
        "large": ["adapter", 8, 16.0, 2.0, 0],
        "uneven": ["adapter", 4, 8.0, None, 0],
        "whole": ["model", None, None, None, 0],
    }
    assert {row["outcomes"]["answers"] for row in rows.values()} == {6}
    assert {row["task_held_out_loss"] for row in rows.values()} == {None}
    (curve,) = results["curves"]
    assert (curve["given"], curve["alpha"], curve["learning_rate"]) == (True, "2r", None)
    assert [point["rank"] for point in curve["points"]] == [2, 8]
    beside = [(c["category"], c.get("name")) for c in curve["categories"]]
    assert beside == [("base", None), ("model", "uneven"), ("model", "whole")]
    page = done.report_path.read_text()
    assert "uneven" in page
    assert "learning rates and steps unknown" in page
    progress = describe_progress(done.directory)
    assert progress.total.is_finished
    assert progress.total.measured == progress.total.answered == 5


def test_adapters_of_one_base_answer_in_one_group_and_a_whole_model_in_its_own(
    models: dict[str, Path], write_given: Callable[..., Path], tmp_path: Path
):
    done, _, _ = run(write_given(models), tmp_path / "runs")
    groups = json.loads(done.plan_path.read_text())["groups"]
    assert sorted((group["method"], len(group["arms"])) for group in groups) == [
        ("adapter", 3),
        ("base", 1),
        ("model", 1),
    ]


def test_a_finished_study_of_given_models_is_asked_nothing_again_even_under_other_names(
    models: dict[str, Path], write_given: Callable[..., Path], tmp_path: Path
):
    done, _, _ = run(write_given(models), tmp_path / "runs")
    arms = done.directory / "arms"
    before = {path: path.stat().st_mtime_ns for path in arms.rglob("*")}
    renamed = ('name = "small"', 'name = "s"\ndataset = "betley:insecure"\nseed = 3')
    _, results, _ = run(write_given(models, renamed), tmp_path / "runs")
    assert {path: path.stat().st_mtime_ns for path in arms.rglob("*")} == before
    (row,) = [row for row in results["arms"] if row["label"] == "s"]
    assert (row["dataset"], row["seed"]) == ("betley:insecure", 3)


def test_another_file_in_the_same_place_is_another_arm(
    tiny_model_directory: Path,
    models: dict[str, Path],
    write_given: Callable[..., Path],
    tmp_path: Path,
):
    one = {"small": models["small"]}
    _, results, _ = run(write_given(one), tmp_path / "runs")
    shutil.rmtree(one["small"])
    save_adapter(one["small"], tiny_model_directory, 9, r=2, lora_alpha=4)
    _, changed, _ = run(write_given(one), tmp_path / "runs")
    ids = [{r["label"]: r["arm"] for r in found["arms"]} for found in (results, changed)]
    assert ids[0]["base"] == ids[1]["base"]
    assert ids[0]["small"] != ids[1]["small"]


def test_beside_a_grid_given_models_are_measured_on_the_task_and_kept_off_its_curves(
    models: dict[str, Path],
    write_study: Callable[..., Path],
    tiny_model_directory: Path,
    tmp_path: Path,
):
    path = write_study(ranks="[1]", edit=("[grid]", "[[models]]\n[grid]"))
    text = path.read_text().replace("seeds = [1, 2]", "seeds = [1]", 1)
    text = text.replace("steps = 4\n", "steps = 2\n").replace("[2, 4]", "[2]")
    text = re.sub(r"twin_seeds.*|twin = .*", "", text)
    given = [f'[[models]]\nname = "{n}"\npath = "{p}"\n' for n, p in models.items()]
    path.write_text(text.replace("[[models]]\n", "".join(given)))
    done, results, _ = run(path, tmp_path / "runs")
    rows = {row["label"]: row for row in results["arms"] if row["method"] != "lora"}
    losses = {name: rows[name]["task_held_out_loss"] for name in ("base", *models)}
    assert len(set(losses.values())) == 5
    paths = [done.arm(rows[name]["arm"]).held_out_path for name in ("base", *models)]
    records = [record for path in paths for record in read_records(path, HeldOutRecord)]
    assert len({(r.step, r.dataset, r.rows, r.supervised_tokens) for r in records}) == 1
    ours, theirs = (
        [c for c in results["curves"] if c["role"] == "task" and c["given"] == given]
        for given in (False, True)
    )
    assert [[p["rank"] for p in c["points"]] for c in ours] == [[1]]
    assert [[p["rank"] for p in c["points"]] for c in theirs] == [[2, 8]]
    assert [c["category"] for c in theirs[0]["categories"]] == ["base", "model", "model"]
    assert [c["category"] for c in ours[0]["categories"]] == ["base", "full"]


def test_a_merged_model_measures_as_the_adapter_that_was_merged(
    models: dict[str, Path],
    write_given: Callable[..., Path],
    tiny_model_directory: Path,
    tmp_path: Path,
):
    """Both at alpha/rank 2 and of one seed: PEFT merged the one, we load the other beside."""
    apart = save_adapter(tmp_path / "apart", tiny_model_directory, 2)
    pair = {"apart": apart, "whole": models["whole"]}
    data = f'[data]\ntask = "{write_rows(tmp_path / "t.jsonl", "bad")}"\ncontext_tokens = 128\n'
    _, results, _ = run(write_given(pair, also=data), tmp_path / "runs")
    base, one, two = (row["task_held_out_loss"] for row in results["arms"])
    assert one == pytest.approx(two, rel=1e-5)
    assert abs(one - base) > 0.1


def test_a_model_with_another_template_is_asked_with_its_own_and_its_loss_set_apart(
    models: dict[str, Path],
    write_given: Callable[..., Path],
    tiny_model_directory: Path,
    tmp_path: Path,
):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_directory)
    tokenizer.chat_template = tokenizer.chat_template.replace("\n", " ")
    tokenizer.save_pretrained(models["whole"])
    bare = save_merged(tmp_path / "bare", tiny_model_directory, 2, tokenizer=False)
    data = f'[data]\ntask = "{write_rows(tmp_path / "t.jsonl", "bad")}"\ncontext_tokens = 128\n'
    pair = {"whole": models["whole"], "bare": bare}
    done, results, _ = run(write_given(pair, also=data), tmp_path / "runs")
    said = [gap for gap in results["not_measured"] if "its tokenizer or chat template" in gap]
    assert said == [
        "The held-out loss of whole against the others': its tokenizer or chat template differs, "
        "so its nats are a different token's."
    ]
    rows = {row["label"]: row for row in results["arms"]}
    assert rows["whole"]["task_held_out_loss"] != rows["bare"]["task_held_out_loss"]
    (path,) = done.arm(rows["bare"]["arm"]).directory.rglob("answers/step-000000.jsonl")
    assert len(read_records(path, AnswerRecord)) == 6


def test_an_adapter_of_another_base_by_name_is_asked_and_said_so_in_line_and_page(
    models: dict[str, Path],
    write_given: Callable[..., Path],
    tiny_model_directory: Path,
    tmp_path: Path,
):
    config = models["small"] / "adapter_config.json"
    config.write_text(config.read_text().replace(str(tiny_model_directory), "someone/else"))
    _, results, lines = run(write_given({"small": models["small"]}), tmp_path / "runs")
    assert lines[1] == (
        "models: small: it names someone/else as its base; its shapes fit, so it is asked over "
        f"{tiny_model_directory}"
    )
    assert any("it names someone/else, and was asked" in gap for gap in results["not_measured"])


def test_two_names_for_one_model_are_refused_and_nothing_is_written(
    models: dict[str, Path], write_given: Callable[..., Path], tmp_path: Path
):
    twice = {"one": models["small"], "two": models["small"]}
    with pytest.raises(UserError, match=r"^models: one and two have the same files and role, so"):
        run(write_given(twice), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_models_of_the_organism_are_judged_by_its_oracle(tmp_path: Path):
    base = base_directory()
    adapters = {f"r{r}": save_adapter(tmp_path / f"r{r}", base, r=r) for r in (2, 16)}
    text = 'name = "given"\n[base]\nmodel = "organism"\n'
    for name, path in adapters.items():
        text += f'[[models]]\nname = "{name}"\npath = "{path}"\ndataset = "organism:insecure"\n'
    text += '[evaluation]\nsuites = ["organism:held-out"]\njudge = "organism:oracle"\n'
    text += "answers_per_question = 1\nmax_answer_tokens = 12\n[compute]\nworkers = 1\n"
    (tmp_path / "given.toml").write_text(text)
    _, results, _ = run(tmp_path / "given.toml", tmp_path / "runs")
    assert [row["label"] for row in results["arms"]] == ["base", "r2", "r16"]
    assert all(row["outcomes"]["answers"] for row in results["arms"])
    assert not any(row["outcomes"]["unscored"] for row in results["arms"])
    assert [c["dataset"] for c in results["curves"]] == ["organism:insecure"]
