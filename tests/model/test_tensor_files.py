from pathlib import Path

import pytest
import torch

from rankshift.errors import UserError
from rankshift.model.tensor_files import read_shapes, read_tensors, write_tensors


def test_tensors_come_back_bit_for_bit(tmp_path: Path):
    tensors = {
        "turned": torch.arange(6.0).view(2, 3).t(),
        "half": torch.tensor([0.1, -0.0], dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "number": torch.tensor(7),
        "trained": torch.ones(2, requires_grad=True),
        "not a number": torch.tensor([float("nan"), float("inf")]),
    }
    path = tmp_path / "new folder" / "a.safetensors"
    write_tensors(path, tensors)
    back = read_tensors(path)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert read_bytes(back[name]) == read_bytes(tensor)
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def read_bytes(tensor: torch.Tensor) -> list[int]:
    """Give the bytes of a tensor: NaN equals itself, and zero has a sign."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).tolist()


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.ones(3)})
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="share memory"):
        write_tensors(path, {"a": shared, "b": shared})
    assert read_tensors(path)["a"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("length", [0, 4, 40, -1])
def test_a_file_that_was_cut_is_refused_by_name(tmp_path: Path, length: int):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.ones(30)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    assert str(caught.value) == (
        f"{path}: not a whole safetensors file, it was cut or edited; "
        "remove it and run the study again"
    )


def test_a_pickle_is_never_opened(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    torch.save({"a": torch.ones(3)}, path)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        read_tensors(path)


def test_a_file_that_is_absent_is_named(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        read_tensors(tmp_path / "a.safetensors")
    assert str(caught.value) == (f"{tmp_path / 'a.safetensors'}: no such file; run the study again")


def test_shapes_are_read_from_the_header_alone_and_a_cut_file_is_refused(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(2, 3), "b": torch.ones(())})
    assert read_shapes(path) == {"a": (2, 3), "b": ()}
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"x\.safetensors: not a whole safetensors file; get the m"):
        read_shapes(path)
