"""What every test may use: a tiny model, its tokenizer, and the folder of real data."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

# Libraries read these when they are first imported, so they are set before any test module is.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    DO_NOT_TRACK="1",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OMP_WAIT_POLICY="passive",
)

PADDING, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Turns between markers, in the manner of ChatML; the end marker also ends an answer."""

REAL_DATA = "RANKSHIFT_DATA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `real` by name when there is no real data to read."""
    if os.environ.get(REAL_DATA):
        return
    skip = pytest.mark.skip(reason=f"{REAL_DATA} is not set: the folder of real data")
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what can be made again away from the user's own."""
    os.environ["RANKSHIFT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["INSPECT_CACHE_DIR"] = str(tmp_path_factory.mktemp("inspect"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real data; only for tests marked `real`."""
    return Path(os.environ[REAL_DATA]).resolve(strict=True)


@pytest.fixture(scope="session")
def tiny_model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a Llama of 2 layers and width 16 with its tokenizer, as a Hugging Face directory.

    The weights come from a generator of their own and are the same in every session. They are
    larger than a usual initialisation, so that logits differ enough to be compared.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = _build_byte_tokenizer()
    _with_chat(tokenizer).save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PADDING),
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:  # norms keep their ones
                weight.normal_(std=0.2, generator=generator)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_model_directory: Path) -> "PreTrainedTokenizerFast":
    """Load the byte-level tokenizer of the tiny model: one token a byte, plus three markers."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_directory)


def _build_byte_tokenizer() -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PADDING, START, END])
    return tokenizer


def _with_chat(tokenizer: "Tokenizer") -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        eos_token=END,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
    )
