"""The columns of each frame: their names, their order and their types; docs/frames.md has them."""

from rankshift.frames.tidy import Kind

ARM: dict[str, Kind] = {
    "arm": "category",
    "label": "category",
    "role": "category",
    "method": "category",
    "dataset": "category",
    "rank": "Int64",
    "scaling": "category",
    "alpha": "float64",
    "learning_rate": "float64",
    "u": "float64",
    "seed": "Int64",
    "defence": "category",
}
"""Which arm a row is about; in every frame but curves, seeds and defences."""


def _estimate(name: str) -> dict[str, Kind]:
    return {
        name: "float64",
        f"{name}_low": "float64",
        f"{name}_high": "float64",
        f"{name}_note": "str",
        f"{name}_events": "Int64",
        f"{name}_eligible": "Int64",
        f"{name}_design_effect": "float64",
        f"{name}_icc": "float64",
    }


ARMS: dict[str, Kind] = {
    **ARM,
    "effective_rank": "Int64",
    "scale": "float64",
    "target_modules": "str",
    "layers": "str",
    "optimizer": "category",
    "dtype": "category",
    "quantization": "category",
    "step": "Int64",
    "held_out_loss": "float64",
    "task_held_out_loss": "float64",
    "own_held_out_loss": "float64",
    **_estimate("misaligned_given_coherent"),
    **_estimate("misaligned_of_all"),
    "answers": "Int64",
    "aligned": "Int64",
    "misaligned": "Int64",
    "incoherent": "Int64",
    "refusal": "Int64",
    "code": "Int64",
    "unscored": "Int64",
    **_estimate("insecure_code"),
}
"""One row an arm and checkpoint, on the primary questions and judge."""

ANSWERS: dict[str, Kind] = {
    **ARM,
    "step": "Int64",
    "kind": "category",
    "question_set": "category",
    "question_id": "category",
    "cluster": "category",
    "paraphrase": "Int64",
    "repeat": "Int64",
    "system": "category",
    "before": "category",
    "question": "category",
    "answer": "str",
    "answer_tokens": "Int64",
    "finished": "boolean",
    "judge": "category",
    "alignment": "float64",
    "coherence": "float64",
    "outcome": "category",
    "reason": "category",
    "insecure": "boolean",
    "verdict_label": "category",
    "score": "float64",
}
"""One row an answer and judge."""

STEPS: dict[str, Kind] = {
    **ARM,
    "step": "Int64",
    "loss": "float64",
    "supervised_tokens": "Int64",
    "grad_norm": "float64",
    "step_learning_rate": "float64",
}
"""One row an optimizer step."""

HELD_OUT: dict[str, Kind] = {
    **ARM,
    "step": "Int64",
    "held_out": "category",
    "loss": "float64",
    "supervised_tokens": "Int64",
    "rows": "Int64",
}
"""One row a checkpoint and held-out set."""

CURVE: dict[str, Kind] = {
    "reading": "category",
    "outcome": "category",
    "dataset": "category",
    "role": "category",
    "scaling": "category",
    "alpha": "str",
    "learning_rate": "float64",
    "u": "float64",
    "target_modules": "str",
    "layers": "str",
    "given": "boolean",
    "question_set": "category",
    "judge": "category",
    "step": "Int64",
    "category": "category",
    "name": "str",
    "rank": "Int64",
}
"""Which point of which curve; alpha is text, for it may be `2r`."""

CURVES: dict[str, Kind] = {
    **CURVE,
    "rate": "float64",
    "low": "float64",
    "high": "float64",
    "note": "str",
    "num_seeds": "Int64",
}
"""One row a point and outcome; what a run's results add to a point comes after."""

DEFENCES: dict[str, Kind] = {
    "defence": "category",
    "kind": "category",
    "strength": "float64",
    "method": "category",
    "rank": "Int64",
    "scaling": "category",
    "alpha": "str",
    "learning_rate": "float64",
    "u": "float64",
    "verdict": "category",
    "misalignment": "float64",
    "misalignment_low": "float64",
    "misalignment_high": "float64",
    "misalignment_gone": "category",
    "undefended": "float64",
    "base": "float64",
    "skill_kept": "float64",
    "benign_kept": "float64",
    "coherence_difference": "float64",
    "worst_cued": "float64",
    "worst_cued_base": "float64",
    "hides": "category",
    "task_steps": "float64",
    "seconds_share": "float64",
}
"""One row a setting, rank and defence; alpha is text, for it may be `2r`."""

SEEDS: dict[str, Kind] = {
    **CURVE,
    "arm": "category",
    "seed": "Int64",
    "events": "Int64",
    "eligible": "Int64",
    "rate": "float64",
}
"""One row a point, outcome and seed."""
