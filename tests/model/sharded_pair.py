"""One of two processes that hold the tiny model together; what it sees goes into a JSON file.

Run as `python -m tests.model.sharded_pair PLACE STORE MODEL LARGE OUT`.
"""

import json
import sys
import threading
from pathlib import Path

import torch
from torch import Tensor

from rankshift.data.rendering import Rendered
from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.checkpointing import checkpoint_layers
from rankshift.model.loading import load_model
from rankshift.model.merging import choose_layers
from rankshift.model.sharding import gather, hold, is_sharded, load_sharded
from rankshift.model.team import Team, join_team
from rankshift.model.traits import find_traits
from rankshift.model.updates import weigh_linears


def main() -> None:
    """Look at everything once, for two processes take seconds to start."""
    place, (store, directory, large, out) = int(sys.argv[1]), map(Path, sys.argv[2:])
    with join_team(store, 2, place) as team:
        seen: dict[str, object] = {"memory": see_memory(large, team)}
        seen["sums"] = see_sums(team)
        seen |= see_model(directory, team)
        for name, checkpointing in (("kept", False), ("again", True)):
            seen[f"gradients_{name}"] = compare_gradients(directory, team, checkpointing)
        seen["refusal"] = see_refusal(directory, team)
    out.write_text(json.dumps(seen))


def see_memory(directory: Path, team: Team) -> dict[str, int]:
    """Load a larger model, and give the most memory of its own that this took the process."""
    found, is_loaded = [read_own_bytes()], threading.Event()

    def watch() -> None:
        while not is_loaded.wait(0.001):
            found.append(read_own_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    model = load_sharded(directory, torch.float32, team)
    is_loaded.set()
    watcher.join()
    found.append(read_own_bytes())
    return {
        "whole": sum(p.nbytes for p in model.parameters()),
        "held": sum(hold(p).nbytes for p in model.parameters()),
        "peak": max(found) - found[0],
    }


def read_own_bytes() -> int:
    """Give what of this process's memory is no file's: a file's pages are nobody's to keep."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def see_sums(team: Team) -> dict[str, object]:
    """Sum gradients of which only some are there."""
    both, one, none = (torch.zeros(2, requires_grad=True) for _ in range(3))
    both.grad = torch.tensor([1.0, 10.0]) * (team.place + 1)
    if team.place:
        one.grad = torch.tensor([5.0, 7.0])
    team.add_gradients([both, one, none])
    numbers = team.add(torch.tensor(0.1, dtype=torch.float64) * (team.place + 1))
    rows = [Rendered((n, n), (False, True), n) for n in range(3)]
    shared = [[row.row for row in team.share(rows[:count])] for count in (1, 2, 3)]
    silent = not any(team.share(rows[:1])[0].loss_mask)
    grads = [None if t.grad is None else t.grad.tolist() for t in (both, one, none)]
    return {"grads": grads, "number": numbers.item(), "rows": shared, "silent": silent}


def see_model(directory: Path, team: Team) -> dict[str, object]:
    """Hold a model in two parts against a whole one."""
    model, whole = load_sharded(directory, torch.float32, team), load_model(directory)
    layers = list(model.get_submodule("model.layers").parameters())
    tensors = zip(
        [*model.named_parameters(), *model.named_buffers()],
        [*whole.named_parameters(), *whole.named_buffers()],
        strict=True,
    )
    equal = all(a == b and torch.equal(gather(x), y) for (a, x), (b, y) in tensors)
    seen: dict[str, object] = {
        "equal": equal,
        "held_of_layers": sum(hold(p).numel() for p in layers),
        "layers": sum(p.numel() for p in layers),
        "traits": find_traits(model) == find_traits(whole),
        "norms": weigh_linears(model) == weigh_linears(whole),
    }
    found = insert_adapters(model, [AdapterShape(8, 1.0)], ALL_PROJECTIONS)
    seen["for_sampling"] = sorted({type(layer).__name__ for layer in choose_layers(found)})
    return seen


def compare_gradients(directory: Path, team: Team, checkpointing: bool) -> dict[str, object]:
    """Compare the adapters' gradients over two passes with those over a whole model."""
    model = load_sharded(directory, torch.float32, team)
    expected = run(load_model(directory), checkpointing)
    got = run(model, checkpointing)
    resharded = all(map(is_sharded, model.get_submodule("model.layers").parameters()))
    equal = all(map(torch.equal, got, expected))
    return {"equal": equal, "count": len(got), "resharded": resharded}


def run(model: torch.nn.Module, checkpointing: bool) -> list[Tensor]:
    """Give the gradients of two arms."""
    layers = insert_adapters(model, [AdapterShape(4, 1.0), AdapterShape(9, 1.0)], ALL_PROJECTIONS)
    if checkpointing:
        checkpoint_layers(model)  # pyright: ignore[reportArgumentType]
    for layer in layers:
        layer.lora_B.fill_(0.01)
    ids = torch.randint(0, 256, (6, 9), generator=torch.Generator().manual_seed(1))
    for _ in range(2):  # the second gathers again what the first let go
        model(ids, use_cache=False).logits.square().mean().backward()
    grads = [factor.grad for layer in layers for own in layer.factors for factor in own]
    return [grad for grad in grads if grad is not None]


def see_refusal(directory: Path, team: Team) -> str:
    """Load a copy that lacks a tensor."""
    from safetensors.torch import load_file, save_file

    short = directory.parent / f"short-{team.place}"
    short.mkdir()
    (short / "config.json").write_bytes((directory / "config.json").read_bytes())
    tensors = load_file(directory / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, short / "model.safetensors")
    try:
        load_sharded(short, torch.float32, team)
    except UserError as error:
        return str(error)
    return "none"


if __name__ == "__main__":
    main()
