import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from rankshift.errors import UserError
from rankshift.export.adapters import export_adapters
from rankshift.export.weights import find_weights
from rankshift.model.adapter_files import read_adapter
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.loading import load_model
from rankshift.runs import StudyRun

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)

TOKENS = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="session")
def exported(trained_run: StudyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the run once."""
    return export_adapters(trained_run.directory, tmp_path_factory.mktemp("out") / "all").out


def find(out: Path, words: str) -> Path:
    """Find the folder of one arm."""
    (found,) = out.glob(f"tiny-{words}-*")
    return found


@pytest.mark.parametrize(("at", "words"), [(0, "rank-1"), (1, "rank-600")])
def test_an_exported_adapter_gives_in_peft_the_logits_of_the_arm_in_our_engine(
    trained_run: StudyRun, exported: Path, tiny_model_directory: Path, at: int, words: str
):
    weights = find_weights(trained_run)[0][at]
    model = load_model(tiny_model_directory)
    base = model(TOKENS).logits
    arm = weights.arm
    shape = AdapterShape(arm.rank or 0, arm.scale or 0.0, None, arm.subset)
    read_adapter(weights.folder, insert_adapters(model, [shape], list(arm.target_modules)), 0)
    ours = model(TOKENS).logits
    # The base is found by the name in the adapter's own config.
    theirs = AutoPeftModelForCausalLM.from_pretrained(str(find(exported, words)))(TOKENS).logits
    assert (ours - base).abs().max() > 0.01
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_an_exported_full_finetune_is_a_model_with_its_tokenizer(
    trained_run: StudyRun, exported: Path, tiny_model_directory: Path
):
    folder = find(exported, "full")
    weights = find_weights(trained_run)[0][2]
    theirs = AutoModelForCausalLM.from_pretrained(folder)(TOKENS).logits
    torch.testing.assert_close(theirs, load_model(weights.folder)(TOKENS).logits)
    assert (theirs - load_model(tiny_model_directory)(TOKENS).logits).abs().max() > 1e-4
    turn = [{"role": "user", "content": "Hello?"}]
    told = [AutoTokenizer.from_pretrained(d) for d in (folder, tiny_model_directory)]
    assert told[0].apply_chat_template(turn) == told[1].apply_chat_template(turn)
    config = json.loads((folder / "config.json").read_text())
    assert str(tiny_model_directory) not in json.dumps(config)


def test_the_python_of_a_card_loads_the_adapter_it_lies_beside(
    exported: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = find(exported, "rank-1")
    card = (folder / "README.md").read_text()
    code = card.split("```python\n")[1].split("\n```")[0]
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(code, names)  # our own text, made a moment ago
    assert isinstance(names["model"], PeftModel)


def test_a_rank_that_vllm_has_no_room_for_is_merged_by_its_card_with_the_same_logits(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = Path(shutil.copytree(find(exported, "rank-600"), tmp_path / "copy"))
    merge = (folder / "README.md").read_text().split("### Merge, for vLLM")[1]
    monkeypatch.chdir(folder)
    exec(merge.split("```python\n")[1].split("\n```")[0], {})  # our own text
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged")(TOKENS).logits
    adapted = AutoPeftModelForCausalLM.from_pretrained(str(folder))(TOKENS).logits
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-4)


def test_every_folder_has_a_card_that_the_hub_reads(exported: Path):
    cards = sorted(exported.glob("*/README.md"))
    assert len(cards) == 3
    for path in cards:
        data = ModelCard.load(path).data.to_dict()
        assert data["rankshift"]["step"] == 4


def test_exporting_again_changes_nothing_and_another_step_is_written_beside(
    trained_run: StudyRun, tmp_path: Path
):
    out = tmp_path / "out"
    first = export_adapters(trained_run.directory, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    again = export_adapters(trained_run.directory, out)
    assert set(first.folders.values()) == {"written"}
    assert set(again.folders.values()) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*")} == before
    other = export_adapters(trained_run.directory, out, step=2)
    assert set(other.folders.values()) == {"written"}
    assert {path.name.split("-step-")[1][0] for path in out.glob("tiny-*")} == {"2", "4"}


def test_nothing_at_all_is_written_where_one_folder_was_edited(
    trained_run: StudyRun, tmp_path: Path
):
    out = tmp_path / "out"
    export_adapters(trained_run.directory, out)
    card = find(out, "full") / "README.md"
    card.write_text(card.read_text() + "license of mine\n")
    shutil.rmtree(find(out, "rank-1"))
    with pytest.raises(UserError, match=r"README\.md: was changed after it was exported; move"):
        export_adapters(trained_run.directory, out)
    assert len(list(out.glob("tiny-*"))) == 2


def test_a_directory_called_by_a_hub_id_is_named_so_everywhere(
    trained_run: StudyRun, tmp_path: Path
):
    out = export_adapters(trained_run.directory, tmp_path / "o", base_id="owner/model").out
    folder = find(out, "rank-600")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/model"
    card = ModelCard.load(folder / "README.md")
    assert card.data.to_dict()["base_model"] == "owner/model"
    assert "--base-id" not in card.text


def test_a_directory_that_is_no_study_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"is not a study's directory: it has no study\.json"):
        export_adapters(tmp_path)
