from pathlib import Path

import torch

from rankshift.data.sources import resolve_base
from rankshift.executor.arm_reader import Reader, divide
from rankshift.export.weights import find_weights
from rankshift.model.loading import load_tokenizer, padding_token
from rankshift.runs import StudyRun
from tests.mechanism.test_reading import ROWS


def test_adapters_read_together_and_a_full_finetune_alone(foretold: Path):
    weights, _ = find_weights(StudyRun(foretold))
    sizes = [[one.arm.method for one in part] for part in divide(weights)]
    assert sizes == [["full"], ["full"], ["lora"] * 4]


def test_arms_that_read_together_read_as_alone_and_the_base_is_left_as_it_was(foretold: Path):
    run = StudyRun(foretold)
    study, _ = run.read_study()
    directory = resolve_base("organism").directory
    reader = Reader(study, directory, padding_token(load_tokenizer(directory)))
    before = reader.read(reader.base, ROWS)
    weights, _ = find_weights(run)
    together = divide(weights)
    for part in together:
        found = reader.read(reader.load_arms(part).model, ROWS, len(part))
        for place, one in enumerate(part):
            alone = reader.read(reader.load_arms([one]).model, ROWS)[0]
            torch.testing.assert_close(found[place], alone, rtol=1e-4, atol=1e-5)
            assert not torch.allclose(alone, before[0], rtol=1e-3)
    assert torch.equal(reader.read(reader.base, ROWS), before)
