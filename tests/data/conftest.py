"""Tokenizers small enough to know by heart, with any chat template."""

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The template of Qwen and many others; it has no `generation` mark."""

MakeTokenizer = Callable[..., PreTrainedTokenizerFast]


@pytest.fixture(scope="session")
def make_tokenizer() -> MakeTokenizer:
    """Build a tokenizer of one token a byte, with ChatML's special tokens and any template."""

    def make(
        template: str | None = CHATML, merges: tuple[tuple[str, str], ...] = ()
    ) -> PreTrainedTokenizerFast:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {token: index for index, token in enumerate(letters)}
        vocabulary |= {"".join(pair): len(letters) + i for i, pair in enumerate(merges)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
        # No regex: whatever stands side by side may merge.
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|bos|>"])
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token="<|im_end|>",
            bos_token="<|bos|>",
            chat_template=template,
        )

    return make
