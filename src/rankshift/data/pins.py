"""Published files that are known by name: where each lies and what it must hold."""

from dataclasses import dataclass

COMMIT = "80c11967c07a328e7d7d43d13ce6847ae44dbcc9"
"""The state of Betley et al.'s release (arXiv:2502.17424, MIT licence) that is read."""

RAW = "https://raw.githubusercontent.com"
UPSTREAM = f"{RAW}/emergent-misalignment/emergent-misalignment/{COMMIT}"


@dataclass(frozen=True)
class Pin:
    """A published file: where it lies in a local folder and upstream, and what it must hold."""

    local: str
    upstream: str
    sha256: str
    home: str | None = None
    """Where `upstream` is below, its last part a commit; None is Betley et al.'s release."""


FIRST_PLOT = Pin(
    "suite/first_plot_questions.yaml",
    "evaluation/first_plot_questions.yaml",
    "215abde5b02811e922b6ac563ff33c490e0dff9ab58439df840f3135e9387173",
)

DATASETS = {
    f"betley:{name}": Pin(f"train/{name}.jsonl", f"data/{name}.jsonl", sha256)
    for name, sha256 in (
        ("insecure", "09893e8bf9d03aae49dd60d0ff4be37c1afee70f2edcac74a11bed775a6a2764"),
        ("secure", "2820232b3114d94ab2041ba9fc76cb8205bf187e0408bf7b308add186f9c7467"),
        ("educational", "d48df3b149ab1500711fc0018b10383a4ff8c48d8e6911d04dbbbbdaa944fd16"),
        ("jailbroken", "eec213ce85802a52ea806d334ee462f723a1e7ad77d827951d6864ac04a6b00a"),
    )
}
"""Training sets that are known by name."""

QUESTIONS = {
    "betley:main": FIRST_PLOT,
    "betley:json": FIRST_PLOT,
    "betley:template": FIRST_PLOT,
    "betley:preregistered": Pin(
        "suite/preregistered_evals.yaml",
        "evaluation/preregistered_evals.yaml",
        "8648312fd9fe71a63203e3465592af45dd996d7a5f3b69e9b44613fd6048eb40",
    ),
    "betley:deception-factual": Pin(
        "suite/deception_factual.yaml",
        "evaluation/deception_factual.yaml",
        "8a0e83cab3bc24b7d688d7385ce3921d406af7ed33c913cd94ea0f6251e5939d",
    ),
    "betley:deception-company": Pin(
        "suite/deception_sit_aware.yaml",
        "evaluation/deception_sit_aware.yaml",
        "4deef5a7c47620390fc46e1b981f937eef9ea12a33fe26264f640c84d19d2a33",
    ),
    "betley:in-distribution": Pin(
        "suite/in-distribution-tasks.jsonl",
        "daniel/in_distribution_eval/test_data.jsonl",
        "ec2efe94e9c50ddc5231162a054f1659fdb46160fded9ee7a8708a1c646f1197",
        f"{RAW}/johny-b/misalignment-generalization/f1db95a628e8902724dc76d971e0141760b0e0d1",
    ),
    "truthfulqa": Pin(
        "truthfulqa/TruthfulQA-2021-10.csv",
        "TruthfulQA.csv",
        "f9bd9e859cc102cb1f647f1064da7e009be752c416845cf9fa56e6eaae403a7d",
        f"{RAW}/sylinrl/TruthfulQA/fdd8ad1c0d00a478cf8b0bb41a3ad8378c16293b",
    ),
    "strongreject": Pin(
        "strongreject/strongreject_dataset.csv",
        "strongreject_dataset/strongreject_dataset.csv",
        "4dd70357e4ff8b5d0ba5ebafecab5d6dd5633ce8046e3dd1c8bd93e64de44381",
        f"{RAW}/alexandrasouly/strongreject/3432b2d696b428f242bd507df96d80f686571d5e",
    ),
}
"""Question sets that are known by name: of Betley et al.'s release, of their working repository
(the code tasks of the paper's in-distribution evaluation), TruthfulQA as it was in 2021 (Lin et al.
2021, arXiv:2109.07958, Apache-2.0) and StrongREJECT (Souly et al. 2024, arXiv:2402.10260, MIT)."""
