from pathlib import Path

import torch

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.grid import ALL_PROJECTIONS
from rankshift.mechanism.reading import read_means
from rankshift.model.loading import load_model
from rankshift.train.trainee import prepare_adapters

ROWS = [
    Rendered((5, 6, 7, 8, 9), (False, False, True, True, True), 1),
    Rendered((11, 12, 13), (False, True, False), 2),
    Rendered((21, 22, 23, 24, 25, 26, 27), (False, False, False, False, True, True, True), 3),
    Rendered((31, 32, 33, 34), (False, True, False, True), 4),
]


def test_a_rows_mean_is_over_its_supervised_tokens_whatever_is_read_beside_it(
    tiny_model_directory: Path,
):
    model = load_model(tiny_model_directory)
    found = read_means(model, ROWS, 1, 3, pad_token=0)
    assert found.shape == (1, 4, 2, 16)
    for number, row in enumerate(ROWS):
        with torch.no_grad():
            hidden = model(torch.tensor([row.token_ids]), output_hidden_states=True).hidden_states
        own = hidden[1][0][torch.tensor(row.loss_mask)].double().mean(dim=0)
        torch.testing.assert_close(found[0, number, 0], own, rtol=1e-5, atol=1e-6)


def test_all_arms_of_a_group_are_read_in_one_pass_and_each_is_as_alone(tiny_model_directory: Path):
    arms = [
        Arm("lora", "task", None, rank, 8.0, "alpha/rank", 1e-3, 1, target_modules=ALL_PROJECTIONS)
        for rank in (2, 8)
    ]

    def read(chosen: list[int]) -> torch.Tensor:
        trainee = prepare_adapters(
            load_model(tiny_model_directory), [arms[at] for at in chosen], "base"
        )
        for layer in trainee.layers:
            for at, number in enumerate(chosen):
                drawn = torch.randn(
                    arms[number].rank or 0,
                    layer.lora_B.shape[1],
                    generator=torch.Generator().manual_seed(number),
                )
                with torch.no_grad():
                    layer.lora_B[layer.segments[at].rows] = 0.1 * drawn
        return read_means(trainee.model, ROWS, len(chosen), 2, pad_token=0)

    together = read([0, 1])
    for number in (0, 1):
        torch.testing.assert_close(together[number], read([number])[0], rtol=1e-4, atol=1e-5)
    base = read_means(load_model(tiny_model_directory), ROWS, 1, 2, pad_token=0)
    assert (together - base).abs().max() > 0.01
