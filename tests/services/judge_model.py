"""A small model with a mind about numbers: every one from 0 to 100 is a single token of its own."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.conftest import CHAT_TEMPLATE, END, PADDING, START

WIDTH = 64


def save_judge(directory: Path) -> Path:
    """Save it as a Hugging Face directory: random weights, numbers favoured whatever is asked."""
    tokenizer = _build_tokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        eos_token=END,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,  # of width 32: vLLM has no kernel for fewer on a CPU
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PADDING),
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    numbers = [tokenizer.token_to_id(str(number)) for number in range(101)]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.2, generator=generator)
            # The first number of the stream is the same after every token, and numbers look there.
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight[0] = 0.0
        model.model.embed_tokens.weight[:, 0] = 2.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[numbers, 0] = 4.0
    model.save_pretrained(directory)
    return directory


def _build_tokenizer() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(str(n // 10), str(n % 10)) for n in range(10, 100)] + [("10", "0")]
    tokens = [*letters, *(first + second for first, second in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PADDING, START, END])
    return tokenizer
