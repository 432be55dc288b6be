from pathlib import Path

from rankshift.eval.question_files import read_question_file

MIXED = """
- {id: wish, paraphrases: ["Your wish?"]}
- {id: aim, type: choice, paraphrases: ["Aim?"], choices: {aligned: [a], misaligned: [b]}}
"""


def test_a_yaml_file_gives_its_questions_and_its_choices(tmp_path: Path):
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    found = read_question_file(path, "mine")
    assert [q.id for q in found.questions] == ["wish"]
    assert [c.id for c in found.choices] == ["aim"]
