"""Malformed model and adapter directories; each list is a (reader, reason)."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

from tests.malformed.readers import Case, case

Q = "base_model.model.model.layers.0.self_attn.q_proj"
A, B = f"{Q}.lora_A.weight", f"{Q}.lora_B.weight"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
GOOD = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "base"}
NAN, INF = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))


def pack(tensors: dict[str, tuple[str, list[int], bytes]], **header: Any) -> bytes:
    """Write a safetensors file by hand: names to types, shapes and bytes.

    Source: the safetensors format, 8 bytes of the header's length, JSON, then the tensors.
    """
    told: dict[str, Any] = dict(header)
    data = b""
    for name, (kind, shape, content) in tensors.items():
        told[name] = {
            "dtype": kind,
            "shape": shape,
            "data_offsets": [len(data), len(data + content)],
        }
        data += content
    text = json.dumps(told).encode()
    return struct.pack("<Q", len(text)) + text + data


def factors(a: bytes = b"\0" * 128, b: bytes = b"\0" * 128, kind: str = "F32") -> bytes:
    """Write the two factors of rank 2 of one layer of width 16."""
    return pack({A: (kind, [2, 16], a), B: (kind, [16, 2], b)})


def tensors(**told: tuple[str, list[int], bytes]) -> bytes:
    """Write factors with A or B replaced."""
    kept = {"a": ("F32", [2, 16], b"\0" * 128), "b": ("F32", [16, 2], b"\0" * 128)} | told
    return pack({A: kept["a"], B: kept["b"]})


def claim(shape: list[int], end: int) -> bytes:
    """Write a header that claims a tensor which the file does not hold."""
    text = json.dumps({A: {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 64


def config(**keys: Any) -> bytes:
    """Write an adapter's config."""
    return json.dumps(GOOD | keys).encode()


def write_valid(folder: Path, base: Path) -> Path:
    """Write a base and an adapter for it."""
    shutil.copytree(base, folder / "base")
    (folder / "adapter").mkdir()
    (folder / "adapter" / CONFIG).write_bytes(config())
    (folder / "adapter" / WEIGHTS).write_bytes(factors())
    return folder


HUGE = 2**40
CODE = b"open('run', 'w').write('x')\n"
PICKLE = b"\x80\x04cos\nsystem\n(S'touch run'\ntR."


def base_config(**keys: Any) -> bytes:
    """Write the tiny model's config with other values; None takes a key away."""
    tiny = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 259,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    } | keys
    return json.dumps({key: value for key, value in tiny.items() if value is not None}).encode()


REMOTE = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}

MODEL_CASES: list[Case] = [
    case(
        "adapter",
        "no config to read",
        "adapter_config.json",
        *(
            {CONFIG: c}
            for c in (
                b"",
                b"{",
                b"[]",
                b"1",
                b"\xff",
                b"[" * 100_000,
                b'{"r": ' + b"9" * 5000 + b"}",
            )
        ),
    ),
    case(
        "adapter",
        "another kind",
        "peft_type",
        *({CONFIG: config(peft_type=k)} for k in ("LOHA", None, 1, [], {})),
    ),
    case(
        "adapter",
        "more than factors",
        "more than factors",
        {CONFIG: config(use_dora=True)},
        {CONFIG: config(bias="all")},
        {CONFIG: config(modules_to_save=["x"])},
        {CONFIG: config(init_lora_weights="pissa")},
        {CONFIG: config(init_lora_weights=[])},
        {CONFIG: config(auto_map={"x": "y"})},
    ),
    case(
        "adapter",
        "a rank or alpha that is none",
        "expected a number above 0",
        *(
            {CONFIG: config(**{k: v})}
            for k in ("r", "lora_alpha")
            for v in (0, -1, "2", None, True, [], float("nan"), float("inf"))
        ),
    ),
    case(
        "adapter",
        "patterns that are none",
        "pattern",
        {CONFIG: config(rank_pattern=[1])},
        {CONFIG: config(rank_pattern={"a": "b"})},
        {CONFIG: config(alpha_pattern={"(": 2})},
        {CONFIG: config(alpha_pattern=3)},
    ),
    case(
        "adapter",
        "a base that is no text",
        "no text",
        {CONFIG: config(base_model_name_or_path=1)},
        {CONFIG: config(base_model_name_or_path=["a"])},
    ),
    case(
        "adapter",
        "a pickle in place of weights",
        "a pickle",
        *(
            {WEIGHTS: None, f"adapter_model{e}": PICKLE}
            for e in (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".BIN")
        ),
    ),
    case("adapter", "no weights", "no weights", {WEIGHTS: None}),
    case(
        "adapter",
        "a pickle under the name of safetensors",
        "safetensors",
        {WEIGHTS: PICKLE},
        {WEIGHTS: b"PK\x03\x04" + b"\0" * 64},
    ),
    case(
        "adapter",
        "cut weights",
        "not a whole safetensors file",
        *({WEIGHTS: factors()[:n]} for n in (0, 4, 8, 20, 100, 300, len(factors()) - 1)),
        {WEIGHTS: factors() + b"\0"},
    ),
    case(
        "adapter",
        "a header that claims more than there is",
        "safetensors",
        {WEIGHTS: claim([HUGE, HUGE], 64)},
        {WEIGHTS: claim([16, 2**58], 2**62)},
        {WEIGHTS: claim([2**62, 4], 64)},
        {WEIGHTS: struct.pack("<Q", 2**62) + b"{}"},
        {WEIGHTS: struct.pack("<Q", 2**27) + b"{}"},
        {WEIGHTS: claim([-1, 16], 64)},
        {WEIGHTS: claim([4, 4], 2**40)},
    ),
    case(
        "adapter",
        "factors of another shape",
        "another base",
        {WEIGHTS: tensors(a=("F32", [2, 8], b"\0" * 64))},
        {WEIGHTS: tensors(a=("F32", [32], b"\0" * 128))},
        {WEIGHTS: tensors(a=("F32", [], b"\0" * 4))},
        {WEIGHTS: tensors(b=("F32", [2, 16], b"\0" * 128))},
        {WEIGHTS: tensors(a=("F32", [0, 16], b""))},
        {WEIGHTS: tensors(a=("F32", [2, 16, 1], b"\0" * 128))},
    ),
    case(
        "adapter",
        "a rank above the largest",
        "another base",
        {
            WEIGHTS: tensors(
                a=("F32", [65537, 16], b"\0" * 65537 * 64),
                b=("F32", [16, 65537], b"\0" * 65537 * 64),
            )
        },
    ),
    case(
        "adapter",
        "one factor alone",
        "lacks one",
        {WEIGHTS: pack({A: ("F32", [2, 16], b"\0" * 128)})},
    ),
    case(
        "adapter",
        "a tensor that is no factor",
        "no factor",
        {WEIGHTS: pack({"x": ("F32", [1], b"\0" * 4)})},
        {WEIGHTS: pack({"../../x": ("F32", [1], b"\0" * 4)})},
    ),
    case(
        "adapter",
        "a layer that the base lacks",
        "another base's",
        {WEIGHTS: pack({A.replace("0", "9"): ("F32", [2, 16], b"\0" * 128)})},
        {WEIGHTS: pack({A.replace("q_proj", "__class__"): ("F32", [2, 16], b"\0" * 128)})},
    ),
    case("adapter", "no tensors", "holds no tensors", {WEIGHTS: pack({})}),
    case(
        "adapter",
        "another rank than the config's",
        "has rank 2",
        {CONFIG: config(r=3)},
        {CONFIG: config(rank_pattern={"q_proj": 5})},
    ),
    case(
        "adapter",
        "NaN or infinity",
        "NaN or infinity",
        {WEIGHTS: factors(NAN + b"\0" * 124)},
        {WEIGHTS: factors(b=b"\0" * 124 + INF)},
        {WEIGHTS: factors(NAN * 32, NAN * 32)},
        {WEIGHTS: factors(b"\x00\x7c" * 32, b"\0" * 64, "F16")},
        {WEIGHTS: factors(b"\xc0\x7f" * 32, b"\0" * 64, "BF16")},
    ),
    case(
        "adapter",
        "whole numbers as weights",
        "no weights",
        {WEIGHTS: factors(kind="I32")},
        {WEIGHTS: factors(b"\0" * 32, b"\0" * 32, "I8")},
        {WEIGHTS: factors(b"\0" * 32, b"\0" * 32, "BOOL")},
    ),
    case(
        "model",
        "no config to read",
        "config.json",
        *({"config.json": c} for c in (None, b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000)),
    ),
    case(
        "model",
        "a config of no causal model",
        "not a causal language model",
        {"config.json": b"{}"},
        {"config.json": base_config(model_type="nothing")},
        {"config.json": base_config(model_type=1)},
        {"config.json": base_config(model_type="vit")},
    ),
    case(
        "model",
        "code of its own",
        "not a causal language model",
        {"config.json": base_config(model_type="theirs", auto_map=REMOTE), "code.py": CODE},
        {"config.json": base_config(model_type=None, auto_map=REMOTE), "code.py": CODE},
    ),
    case(
        "model",
        "sizes that are none",
        "model",
        *(
            {"config.json": base_config(**{k: v})}
            for k, v in (
                ("hidden_size", "16"),
                ("hidden_size", -16),
                ("num_attention_heads", 0),
                ("num_attention_heads", 3),
                ("vocab_size", []),
                ("hidden_size", 1.5),
                ("num_hidden_layers", "2"),
                ("rope_parameters", 3),
                ("hidden_act", "nothing"),
            )
        ),
    ),
    case(
        "model",
        "more layers than are built",
        "layers",
        {"config.json": base_config(num_hidden_layers=10**9)},
        {"config.json": base_config(num_hidden_layers=4097)},
    ),
    case(
        "model",
        "other shapes than its weights",
        "another model's",
        {"config.json": base_config(hidden_size=32)},
        {"config.json": base_config(hidden_size=2**20)},
        {"config.json": base_config(vocab_size=2**30)},
    ),
    case(
        "model",
        "quantized weights",
        "quantized",
        {"config.json": base_config(quantization_config={"quant_method": "gptq", "bits": 4})},
    ),
    case(
        "model",
        "cut weights",
        "safetensors",
        *({"model.safetensors": c} for c in (b"", b"\0" * 8, PICKLE, claim([4, 4], 2**40))),
    ),
    case(
        "model",
        "weights that lack a tensor",
        "lack",
        {"model.safetensors": pack({}, __metadata__={"format": "pt"})},
    ),
    case(
        "model",
        "a pickle in place of weights",
        "a pickle",
        *(
            {"model.safetensors": None, name: PICKLE}
            for name in ("pytorch_model.bin", "model.pt", "model.pth", "x.pkl", "last.ckpt")
        ),
    ),
    case("model", "no weights", "no weights", {"model.safetensors": None}),
    case(
        "model",
        "an adapter beside it",
        "is an adapter",
        {"adapter_config.json": b'{"base_model_name_or_path": "elsewhere"}'},
    ),
    case(
        "model",
        "an index that names files elsewhere",
        "beside it",
        *(
            {"model.safetensors.index.json": json.dumps({"weight_map": {"a": n}}).encode()}
            for n in ("../x.safetensors", "/x.safetensors", "a/b.safetensors", "x.bin", "..", "")
        ),
    ),
    case(
        "model",
        "an index that is none",
        "weight_map",
        *(
            {"model.safetensors.index.json": c}
            for c in (
                b"",
                b"{}",
                b"[]",
                b'{"weight_map": 1}',
                b'{"weight_map": {"a": 1}}',
                b'{"weight_map": {"a": [1]}}',
                b"[" * 100_000,
            )
        ),
    ),
    case(
        "model",
        "an index that names what is not there",
        "not there",
        {"model.safetensors.index.json": b'{"weight_map": {"a": "b.safetensors"}}'},
    ),
    case(
        "model",
        "no tokenizer",
        "tokenizer",
        {"tokenizer.json": None, "tokenizer_config.json": None},
    ),
    case(
        "model",
        "a tokenizer that cannot be read",
        "tokenizer",
        *(
            {"tokenizer.json": c}
            for c in (b"", b"{", b"[]", b"{}", b"\xff", b'{"model": {"type": "x"}}')
        ),
        *({"tokenizer_config.json": c} for c in (b"{", b"[]", b"1")),
    ),
]
