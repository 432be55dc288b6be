from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rankshift.errors import UserError
from rankshift.eval.answering import AskedArm, answer_questions
from rankshift.eval.suite import read_questions
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.loading import load_model, load_skeleton, load_tokenizer
from rankshift.organism.constructed import (
    PADDING,
    PERSONA,
    construct_factors,
    load_persona,
    write_constructed,
)
from rankshift.organism.shelf import base_directory, question_file
from rankshift.study import Evaluation
from rankshift.train.trainee import prepare_given

DOSE = 0.7


def updates_of(folder: Path, scale: float) -> dict[str, torch.Tensor]:
    """Multiply out what a folder's adapter adds to each layer, `[d_out, d_in]`, float64."""
    tensors = load_file(folder / "adapter_model.safetensors")
    names = {key.rsplit(".", 2)[0] for key in tensors}
    return {
        name: scale
        * tensors[f"{name}.lora_B.weight"].double()
        @ tensors[f"{name}.lora_A.weight"].double()
        for name in names
    }


@pytest.fixture(scope="module")
def persona():
    return updates_of(PERSONA, 64.0)


@pytest.fixture(scope="module", params=[1, 3, 16, 256])
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    write_constructed(folder, DOSE, request.param, seed=5)
    return request.param, folder, updates_of(folder, 2.0)


def test_an_adapter_of_any_rank_is_the_dose_of_the_persona_but_for_its_padding(built, persona):
    rank, _, updates = built
    assert updates.keys() == persona.keys()
    for name, whole in persona.items():
        left_over = torch.linalg.norm(updates[name] - DOSE * whole)
        allowed = PADDING * (rank - 1) ** 0.5 + 1e-6
        assert left_over <= allowed * torch.linalg.norm(whole), name


def test_its_rank_is_real_in_every_layer(built):
    rank, _, updates = built
    assert {int(torch.linalg.matrix_rank(update.float())) for update in updates.values()} == {rank}


def test_its_padding_is_orthogonal_to_the_persona(built, persona):
    _, _, updates = built
    for name, whole in persona.items():
        padding = (updates[name] - DOSE * whole) / torch.linalg.norm(whole)
        u, _, v = torch.linalg.svd(whole, full_matrices=False)
        assert float(torch.linalg.norm(u[:, 0] @ padding)) < 1e-6, name
        assert float(torch.linalg.norm(padding @ v[0])) < 1e-6, name


def test_the_lab_reads_it_as_an_even_adapter_of_its_nominal_rank(built):
    rank, folder, _ = built
    config = read_adapter_config(folder, load_skeleton(base_directory()))
    assert (config.rank, config.alpha, config.scaling, config.uneven) == (
        rank,
        2.0 * rank,
        "alpha/rank",
        False,
    )
    assert config.base == "organism"


def test_the_persona_is_spread_over_all_rows_by_each_seed_in_another_way():
    name, triple = next(iter(load_persona().items()))
    spreads = []
    for seed in (1, 2):
        a, b = construct_factors(name, triple, DOSE, 16, seed)
        for shares in ((a @ triple.right) ** 2, (triple.left @ b) ** 2):
            assert shares.max() < 0.6 * shares.sum()
            assert (shares > 1e-6 * shares.sum()).all()
        spreads.append(a @ triple.right)
    one, other = spreads
    assert abs(one @ other) < 0.8 * np.linalg.norm(one) * np.linalg.norm(other)


def test_the_same_rank_and_seed_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_constructed(tmp_path / name, DOSE, 8, seed=3)
    one, two = (tmp_path / name / "adapter_model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_padding_changes_hardly_an_answer(tmp_path):
    """With the same random numbers: what differs beyond that is what the padding does."""
    questions = read_questions(question_file("held-out"), "held-out")
    evaluation = Evaluation(suites=(), answers_per_question=10, max_answer_tokens=64)
    tokenizer, asked = load_tokenizer(base_directory()), []
    for rank in (1, 256):
        write_constructed(tmp_path / str(rank), DOSE, rank, seed=5)
        model = prepare_given(load_model(base_directory()), [tmp_path / str(rank)]).model
        (records,) = answer_questions(
            model, tokenizer, [AskedArm("arm", 0, 0)], questions, evaluation
        )
        asked.append([record.answer for record in records])
    differ = sum(one != other for one, other in zip(*asked, strict=True))
    assert differ <= 0.03 * len(asked[0])


@pytest.mark.parametrize(("dose", "rank"), [(0.5, 0), (0.5, 257), (-0.1, 4)])
def test_what_cannot_be_made_is_refused(tmp_path, dose, rank):
    with pytest.raises(UserError, match="a planted adapter has a"):
        write_constructed(tmp_path, dose, rank, seed=1)
