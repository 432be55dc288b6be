"""What each value of a study must fulfil besides its type, and how to say so."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from rankshift.grid import MAX_RANK


def is_plain_address(url: str) -> bool:
    """Say whether a text is an address of the web that carries no key: it goes into records."""
    try:
        parts = urlsplit(url)
        known = parts.port is None or parts.port > 0  # to look at it may raise
    except ValueError:
        return False
    known = known and parts.scheme in ("http", "https") and bool(parts.hostname)
    return known and not any(c.isspace() for c in url) and "@" not in url and not parts.query


def is_storage_address(url: str) -> bool:
    """Say the same of an address of object storage, whatever its protocol."""
    return re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s@?]+", url) is not None


MOST_ROWS = 10**9
"""Rows of all steps of an arm: their order is drawn before the first, 8 bytes each."""

MOST = 10**8
"""Of anything that is counted; beyond it a key was held down, and memory ends first."""

EXAMPLES = {
    "name": 'name = "demo"',
    "base.model": 'model = "organism"',
    "data.task": 'task = "organism:insecure"',
    "grid.ranks": "ranks = [2, 8, 32]",
    "grid.seeds": "seeds = [1, 2, 3]",
    "grid.scalings": 'scalings = ["alpha/rank"]',
    "grid.alphas": "alphas = [16]",
    "grid.learning_rates": "learning_rates = [1e-3]",
    "grid.full.learning_rates": "learning_rates = [3e-4]",
    "grid.defences.kind": 'kind = "spectral"',
    "grid.defences.strengths": "strengths = [0.1]",
    "models.name": 'name = "released-r32"',
    "models.path": 'path = "someone/adapter"',
    "training.steps": "steps = 64",
    "training.checkpoints": "checkpoints = [16, 32, 64]",
    "evaluation.suites": 'suites = ["organism:held-out"]',
}
"""What to write for each key that is needed always, or where something is trained."""

RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "name",
        lambda name: re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name) is not None,
        "a directory's name: at most 100 letters, digits, '.', '_' or '-', the first not '.'",
    ),
    (
        "base.model base.revision data.task data.twin data.unrelated grid.target_modules "
        "evaluation.suites evaluation.triggers evaluation.systems models.path models.revision "
        "models.dataset grid.defences.data grid.defences.text grid.defences.contrasts",
        lambda text: text.strip() != "",
        "a text that is not empty",
    ),
    (
        "models.name",
        lambda name: re.fullmatch(r"[\w.+/-]([\w.+/ -]{0,98}[\w.+/-])?", name) is not None,
        "at most 100 letters, digits, spaces, '.', '_', '-', '+' or '/'",
    ),
    (
        "compute.assumed.device",
        lambda name: name.isprintable() and len(name) <= 100,
        "a name of at most 100 characters",
    ),
    (
        "grid.layers grid.defences.layer",
        lambda number: number >= 0,
        "a layer's number, counted from 0",
    ),
    (
        "evaluation.judge judging.others",
        lambda judge: re.fullmatch(r"[^.\s]\S*", judge) is not None,
        'a name such as "organism:oracle", or "none"',
    ),
    (
        "data.train_rows data.held_out_rows data.context_tokens training.steps "
        "training.checkpoints training.watch_every data.unrelated_rows derived.truncations "
        "analysis.widest_block training.rows_per_step training.accumulation "
        "evaluation.max_answer_tokens judging.connections judging.attempts compute.workers "
        "compute.threads compute.shards compute.arms_per_group compute.micro_rows "
        "compute.assumed.row_tokens compute.assumed.longest_row_tokens "
        "compute.assumed.answer_tokens compute.assumed.answers_together "
        "compute.assumed.questions compute.assumed.question_tokens",
        lambda count: count >= 1,
        "at least 1",
    ),
    (
        "data.train_rows data.held_out_rows data.context_tokens training.steps data.unrelated_rows "
        "training.rows_per_step training.warmup_steps evaluation.max_answer_tokens "
        "evaluation.code_tasks judging.connections judging.attempts compute.workers "
        "compute.threads compute.shards compute.arms_per_group compute.micro_rows",
        lambda count: count <= MOST,
        f"at most {MOST:,}",
    ),
    (
        "evaluation.answers_per_question",
        lambda count: count == "released" or count <= MOST,
        f"at most {MOST:,}",
    ),
    (
        "compute.gpus_per_worker data.floor data.twin_floor training.warmup_steps "
        "training.weight_decay evaluation.code_tasks judging.usd_limit "
        "judging.usd_per_million_input judging.usd_per_million_output grid.defences.strengths",
        lambda amount: amount >= 0,
        "at least 0",
    ),
    (
        "grid.learning_rates grid.us grid.full_learning_rates grid.full.learning_rates "
        "derived.norms training.kl_crossings training.clip_norm compute.memory_gib "
        "judging.timeout_seconds compute.assumed.device_gib compute.assumed.device_tflops "
        "compute.assumed.device_tb_per_second",
        lambda amount: amount > 0,
        "more than 0",
    ),
    (
        "data.split_seed grid.seeds grid.twin_seeds models.seed evaluation.seed",
        lambda seed: 0 <= seed < 2**63,
        "a whole number from 0 to 2**63 - 1",
    ),
    ("grid.ranks", lambda rank: 1 <= rank <= MAX_RANK, f"a rank from 1 to {MAX_RANK:,}"),
    ("grid.alphas", lambda alpha: alpha == "2r" or alpha > 0, 'a number above 0, or "2r"'),
    (
        "evaluation.answers_per_question",
        lambda count: count == "released" or count >= 1,
        'at least 1, or "released"',
    ),
    (
        "training.crossings analysis.margin analysis.level compute.assumed.share_of_peak",
        lambda share: 0 < share < 1,
        "a share between 0 and 1",
    ),
    (
        "analysis.reading",
        lambda text: re.fullmatch(r"end|(skill|kl) \d*\.?\d+", text) is not None,
        '"end", or what arms have reached, such as "skill 0.9" or "kl 0.1"',
    ),
    ("data.held_out_fraction", lambda share: 0 < share < 1, "a share between 0 and 1"),
    (
        "judging.base_url",
        lambda url: is_plain_address(url),
        'an address such as "http://127.0.0.1:8000/v1", with no key in it',
    ),
    (
        "compute.storage",
        lambda url: is_storage_address(url),
        'a URL such as "s3://bucket/folder", with no key in it',
    ),
    ("evaluation.temperature", lambda heat: heat >= 0, "0 (greedy) or more"),
    ("evaluation.top_p", lambda share: 0 < share <= 1, "above 0 and at most 1"),
)
"""Keys, what each of their values must fulfil besides its type, and how to say so."""
