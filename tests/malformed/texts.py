"""Malformed studies, data, questions, tables and records; each list is a (reader, reason)."""

import json
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from rankshift.records import AnswerRecord, HeldOutRecord, StepRecord, VerdictRecord
from rankshift.study import Judging, Study
from tests.malformed.readers import Case, case

DEEP = "[" * 100_000
HALF = '"\\ud800"'

STUDY = """name = "s"
[base]
model = "organism"
[data]
task = "organism:insecure"
[grid]
ranks = [2]
alphas = [16]
scalings = ["alpha/rank"]
learning_rates = [1e-3]
seeds = [1]
[training]
steps = 4
checkpoints = [4]
[evaluation]
suites = ["organism:held-out"]
"""


def change(key: str, value: str) -> str:
    """Give the valid study with another value for one key that it sets."""
    lines = [
        f"{key} = {value}" if line.startswith(f"{key} =") else line for line in STUDY.split("\n")
    ]
    assert f"{key} = {value}" in lines
    return "\n".join(lines)


def _list_wrong_types() -> list[str]:
    """Give every setting of every table a date, which none takes, and a table."""
    inputs = []
    for table, kind in get_type_hints(Study).items():
        if not is_dataclass(kind):
            continue
        for setting in fields(kind):
            is_list = get_origin(get_type_hints(kind)[setting.name]) is tuple
            inner = get_args(get_type_hints(kind)[setting.name])
            if is_dataclass(get_type_hints(kind)[setting.name]):
                continue
            if is_list and inner and is_dataclass(inner[0]):
                continue
            for wrong in ("1979-05-27", "{ a = 1 }"):
                value = f"[{wrong}]" if is_list else wrong
                inputs.append(_set(table, setting.name, value))
    return inputs


def _set(table: str, key: str, value: str) -> str:
    lines = [line for line in STUDY.split("\n") if not line.startswith(f"{key} =")]
    if f"[{table}]" not in lines:
        lines.append(f"[{table}]")
    lines.insert(lines.index(f"[{table}]") + 1, f"{key} = {value}")
    return "\n".join(lines)


STUDIES: list[Case] = [
    case(
        "study",
        "not TOML",
        "not TOML",
        "name = ",
        "[",
        "a = 1\na = 2",
        "= 1",
        '"',
        "x = 1979-13-45",
    ),
    case("study", "nested too deep", "not TOML", f"a = {DEEP}", f"a = {'{a=' * 9999}"),
    case("study", "not UTF-8", "not UTF-8", b"name = '\xff'", b"\xff\xfen\x00", b"#\xc3\x28"),
    case("study", "cut in the middle", "s.toml:", *(STUDY[:n] for n in range(0, 150, 10))),
    case(
        "study",
        "an unknown key",
        "unknown key",
        STUDY + "nothing = 1\n",
        'colour = "red"\n' + STUDY,
    ),
    case("study", "an unknown table", "unknown table", STUDY + "[bse]\n", STUDY + '["a.b"]\n'),
    case(
        "study",
        "a table that is a value",
        "is no table",
        "base = 1\nname = 's'",
        "name='s'\nbase=[1]",
    ),
    case("study", "another type", "expected", *_list_wrong_types()),
    case(
        "study",
        "a name that leaves the folder of runs",
        "a directory's name",
        *(
            change("name", json.dumps(name))
            for name in ("../x", "/x", "..", ".", "a/b", "", "a\0b", "C:\\x", "x" * 101)
        ),
    ),
    case(
        "study",
        "a variant whose name leaves the folder of runs",
        "a directory's name",
        *(
            f"{STUDY}[variants.{json.dumps(name)}]\n"
            for name in ("../x", "a/../../b", "a/b", "x" * 101)
        ),
    ),
    case(
        "study",
        "variants that are none",
        "variants",
        STUDY + "[variants]\n",
        STUDY + "[variants]\na = 1\n",
    ),
    case(
        "study",
        "first names what is no variant",
        "variant",
        *(
            f"first = {first}\n{STUDY}[variants.a]\n"
            for first in ("[1]", "[['a']]", "[]", "'a'", "['b']", "[{a=1}]")
        ),
    ),
    case(
        "study",
        "a judge's name that leaves its folder",
        "expected a name",
        *(
            _set("evaluation", "judge", json.dumps(name))
            for name in ("..", ".", "../x", "a b", "", ".hidden")
        ),
    ),
    case(
        "study",
        "storage with a key, or none",
        "a URL such as",
        *(
            _set("compute", "storage", json.dumps(url))
            for url in (
                "/mnt/x",
                "s3:x",
                "S3://x/y",
                "s3://",
                "s3://a:b@c/d",
                "s3://a/b?key=1",
                "s3://a b",
            )
        ),
    ),
    case(
        "study",
        "an address with a key, or none",
        "an address",
        *(
            _set("judging", "base_url", json.dumps(url))
            for url in (
                "http://[::1",
                "ftp://x",
                "http://",
                "http://a:b@c/v1",
                "http://x/v1?key=1",
                "http://x:y/",
                "x",
                "http:// x",
            )
        ),
    ),
    case(
        "study",
        "a number out of range",
        "expected",
        change("ranks", "[0]"),
        change("ranks", "[-1]"),
        change("ranks", "[65537]"),
        change("steps", "0"),
        change("seeds", "[-1]"),
        change("seeds", "[9223372036854775808]"),
        change("learning_rates", "[0.0]"),
        change("learning_rates", "[nan]"),
        change("learning_rates", "[inf]"),
        change("alphas", "[-1]"),
        _set("data", "held_out_fraction", "1.0"),
        _set("data", "held_out_fraction", "nan"),
        _set("evaluation", "top_p", "0.0"),
    ),
    case(
        "study",
        "a number of too many digits",
        "s.toml:",
        change("steps", "9" * 5000),
        change("steps", "9" * 400),
    ),
    case(
        "study",
        "more than can be held",
        "at most",
        change("steps", "1000000000000"),
        _set("training", "rows_per_step", "10000000000"),
        _set("evaluation", "answers_per_question", "1000000000000"),
        _set("compute", "workers", "1000000000"),
    ),
    case(
        "study",
        "the same twice",
        "twice",
        change("ranks", "[2, 2]"),
        change("seeds", "[1, 1]"),
        _set("evaluation", "suites", '["a", "a"]'),
    ),
    case(
        "study",
        "settings that do not agree",
        ";",
        _set("training", "warmup_steps", "5"),
        change("checkpoints", "[3]"),
        _set("training", "accumulation", "3"),
        change("checkpoints", "[]"),
        _set("grid", "twin_seeds", "[1]"),
        _set("data", "twin", '"organism:secure"'),
        _set("judging", "usd_limit", "1.0"),
        _set("evaluation", "cues", '["twin"]'),
        _set("evaluation", "systems", '["Be kind.", "Be  kind."]'),
    ),
    case(
        "study",
        "a context that is none",
        "s.toml:16: evaluation.",
        _set("evaluation", "cues", '"task"'),
        _set("evaluation", "cues", '["base"]'),
        _set("evaluation", "cues", "[1]"),
        _set("evaluation", "systems", '[""]'),
        _set("evaluation", "systems", "[true]"),
    ),
    case(
        "study",
        "a missing key",
        "missing",
        *(
            STUDY.replace(f"{line}\n", "")
            for line in STUDY.split("\n")
            if line.startswith(("name", "model", "ranks", "steps", "checkpoints", "suites", "task"))
        ),
    ),
    case(
        "study",
        "an import without what tells arms apart",
        "[[imports]]",
        'name="s"\n[[imports]]\nfile="a"\n',
        'name="s"\n[[imports]]\njudge="a"\n',
    ),
    case(
        "study",
        "imports beside what trains",
        "cannot stand beside",
        STUDY + "[[imports]]\nfile='a'\njudge='j'\n",
    ),
    case(
        "study",
        "imports that are no tables",
        "list of tables",
        'name="s"\nimports=[1]',
        'name="s"\nimports=1',
    ),
    case(
        "judging",
        "not one table",
        "expected one table",
        "",
        "[base]\nmodel='x'",
        "[judging]\n[other]\n",
    ),
    case("judging", "an unknown key", "unknown key", "[judging]\nkeys=1"),
    case(
        "judging",
        "another type",
        "expected",
        *(f"[judging]\n{f.name} = 1979-05-27" for f in fields(Judging) if f.name != "others"),
    ),
    case("judging", "not TOML", "not TOML", "[judging", "\0"),
]

ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
GOOD = json.dumps(ROW) + "\n"


def turns(*pairs: tuple[Any, Any]) -> str:
    """Write a row of turns."""
    return json.dumps({"messages": [{"role": r, "content": c} for r, c in pairs]})


ROWS: list[Case] = [
    case("rows", "empty", "is empty", "", "\n\n", "\ufeff", "  \n\t\n"),
    case(
        "rows",
        "not JSON",
        "not JSON",
        *(GOOD + GOOD[:n] for n in range(1, len(GOOD) - 1, 6)),
        "{'a': 1}",
        "NaN1",
        "{}{}",
    ),
    case("rows", "nested too deep", "not JSON", DEEP, GOOD + '{"a":' * 100_000),
    case("rows", "a number of too many digits", "not JSON", f'{{"a": {"9" * 5000}}}'),
    case(
        "rows",
        "not UTF-8",
        "not UTF-8",
        GOOD.encode() + b"\xff\n",
        GOOD.encode("utf-16"),
        b'"\xed\xa0\x80"',
    ),
    case("rows", "not an object", "a JSON", "[]", "1", "null", '"a"', "NaN"),
    case(
        "rows",
        "neither form",
        "neither",
        "{}",
        '{"prompt": "a"}',
        '{"text": "a"}',
        '{"completion": "b"}',
    ),
    case(
        "rows",
        "messages that are no list",
        "write a list",
        '{"messages": 1}',
        '{"messages": null}',
        '{"messages": {}}',
        '{"prompt": 1, "completion": "a"}',
    ),
    case(
        "rows", "no messages", "is empty", '{"messages": []}', '{"prompt": [], "completion": "a"}'
    ),
    case(
        "rows",
        "a message that is no object",
        "write an object",
        '{"messages": [1]}',
        '{"messages": [null]}',
        '{"messages": [[]]}',
    ),
    case(
        "rows",
        "an unknown role",
        "unknown role",
        turns(("usr", "a")),
        turns((None, "a")),
        turns(([], "a")),
        turns(({}, "a")),
        turns(("tool", "a")),
    ),
    case(
        "rows",
        "content that is no text",
        "only a string",
        turns(("user", 1)),
        turns(("user", None)),
        turns(("user", [{"type": "text"}])),
    ),
    case(
        "rows",
        "keys that would go unread",
        "would go unread",
        '{"messages": [{"role": "user", "content": "a", "weight": 0}]}',
        '{"messages": [{"role": "user", "content": "a", "tool_calls": []}]}',
    ),
    case(
        "rows",
        "half a character",
        "half a surrogate",
        '{"prompt": "a", "completion": ' + HALF + "}",
        '{"prompt": "\\udfff", "completion": "a"}',
    ),
    case(
        "rows",
        "nothing to learn",
        "assistant",
        turns(("user", "a")),
        turns(("user", "a"), ("assistant", "b"), ("user", "c")),
        turns(("user", "a"), ("assistant", "")),
        turns(("assistant", "a")),
        turns(("system", "a"), ("assistant", "a")),
    ),
]


def question(**keys: Any) -> str:
    """Write a list of one question."""
    return json.dumps([{"id": "q", "paraphrases": ["a"]} | keys])


def llmcomp(**keys: Any) -> str:
    """Write a list of one of llmcomp's."""
    return json.dumps([{"name": "q", "type": "free_form", "paraphrases": ["a"]} | keys])


PAIR = {"aligned": "{question} {answer}", "coherent": "{answer}"}
QUESTIONS: list[Case] = [
    case(
        "questions",
        "not YAML",
        "not YAML",
        "- id: [",
        "a: b: c",
        "\t- a",
        "- id: *none",
        "- &a [*a",
        "%",
        "- !!python/object/apply:os.system [id]",
        "- !!python/name:os.system",
        "- id: q\n\tparaphrases",
    ),
    case(
        "questions",
        "a value that cannot be read",
        "cannot read",
        "- id: 2024-13-45",
        "- !!int x",
        "- !!float x",
        "- !!timestamp x",
        f"- {'9' * 5000}",
    ),
    case("questions", "nested too deep", "q.yaml", "[" * 5000, "- " * 5000),
    case("questions", "not UTF-8", "not UTF-8", b"- id: \xff", b"\xff\xfe-\x00"),
    case("questions", "a letter that YAML has none of", "not YAML", "- id: \0", "- id: \x01"),
    case(
        "questions",
        "a value that is not of the type it says",
        "what YAML cannot read as a value",
        "- !!int ",
        "- !!float ",
        "- !!bool perhaps",
    ),
    case(
        "questions",
        "no list",
        "expected a list",
        "",
        "{}",
        "1",
        "a: b",
        "[]",
        "# only a comment",
        "null",
    ),
    case(
        "questions",
        "no id",
        "has no `id`",
        "- 1",
        "- {}",
        "- id: 1\n  paraphrases: [a]",
        "- id: [a]",
        "- id: null",
    ),
    case(
        "questions",
        "an id twice",
        "has the `id` of",
        '[{"id": "a", "paraphrases": ["a"]}, {"id": "a", "paraphrases": ["b"]}]',
    ),
    case(
        "questions",
        "no paraphrases",
        "list of texts",
        question(paraphrases=[]),
        question(paraphrases="a"),
        question(paraphrases=[1]),
        question(paraphrases=[""]),
        question(paraphrases=None),
        question(paraphrases={"a": 1}),
    ),
    case(
        "questions",
        "an unknown type",
        "`type` is",
        *(question(type=t) for t in ("x", 1, None, [], {}, ["free_form"], True)),
    ),
    case(
        "questions",
        "a system turn that is no text",
        "`system`",
        question(system=1),
        question(system=[]),
        question(system={}),
    ),
    case(
        "questions",
        "samples that are no number",
        "samples_per_paraphrase",
        *(question(samples_per_paraphrase=s) for s in (0, -1, 1.5, "1", True, [])),
    ),
    case(
        "questions",
        "judge prompts that are none",
        "judge",
        question(judge_prompts=[]),
        question(judge_prompts={}),
        question(judge_prompts=1),
        question(judge_prompts={"aligned": 1, "coherent": "{answer}"}),
        question(judge_prompts={"aligned": "{answer}"}),
    ),
    case(
        "questions",
        "a placeholder that is none",
        "judge prompt",
        *(
            question(judge_prompts=PAIR | {"aligned": t})
            for t in (
                "{answer} {",
                "{answer} }",
                "{answer} {x}",
                "{answer} {}",
                "{answer} {0}",
                "{answer.__class__}",
                "{answer[0]}",
                "{answer!x}",
                "{answer!r}",
                "{answer:zzz}",
                "{answer:{question}}",
                "{question}",
                "{answer:999999999999}",
            )
        ),
    ),
    case(
        "questions",
        "no word to answer with",
        "names no word",
        question(type="free_form_judge", judge_prompts={"m": "{answer}"}),
    ),
    case(
        "questions",
        "choices that are none",
        "choices",
        *(
            question(type="choice", choices=c)
            for c in (
                None,
                [],
                {},
                {"aligned": ["a"]},
                {"aligned": [], "misaligned": ["b"]},
                {"aligned": "a", "misaligned": "b"},
                {"aligned": [1], "misaligned": ["b"]},
            )
        ),
    ),
    case(
        "questions",
        "an option twice",
        "comes twice",
        question(type="choice", choices={"aligned": ["a"], "misaligned": ["a"]}),
    ),
    case(
        "questions",
        "a stem that is no text",
        "`stem`",
        question(type="choice", stem=1, choices={"aligned": ["a"], "misaligned": ["b"]}),
    ),
    case(
        "questions",
        "half a character",
        "half a character",
        question(paraphrases=["\ud800"]),
        question(system="\udc00"),
        question(id="\ud800"),
        question(cluster="\ud800"),
        question(judge_prompts=PAIR | {"coherent": "\ud800{answer}"}),
        question(type="choice", choices={"aligned": ["\ud800"], "misaligned": ["b"]}),
    ),
    case(
        "questions",
        "llmcomp's of a type that means nothing here",
        "`type`",
        *(llmcomp(type=t) for t in ("rating", "next_token", "x", 1, None, [], {})),
    ),
    case(
        "questions",
        "llmcomp's with an unknown key",
        "no key of llmcomp's",
        llmcomp(colour=1),
        '[{"name": "q", "type": "free_form", "paraphrases": ["a"], "1": 1}]',
    ),
    case(
        "questions",
        "llmcomp's with a setting of the study",
        "leave it out",
        llmcomp(temperature=0.5),
        llmcomp(max_tokens=5),
        llmcomp(logit_bias={}),
    ),
    case(
        "questions",
        "llmcomp's with other turns",
        "messages",
        llmcomp(paraphrases=None, messages=[]),
        llmcomp(paraphrases=None, messages=[[{"role": "assistant", "content": "a"}]]),
        llmcomp(paraphrases=None, messages=[[{"role": "user", "content": ""}]]),
        llmcomp(paraphrases=None, messages=[1]),
        llmcomp(messages=[[]]),
    ),
    case(
        "questions",
        "llmcomp's with judges that are none",
        "judge",
        llmcomp(judges=[1]),
        llmcomp(judges={"a": "none"}),
        llmcomp(judges={"a": 1}),
        llmcomp(judges={"a": {"type": "x"}}),
        llmcomp(judges={"a": {"type": []}}),
        llmcomp(judges={"a": {"type": {}}}),
        llmcomp(judges={"a": {"type": "rating_judge", "paraphrases": []}}),
        llmcomp(judges={"a": {"type": "rating_judge", "paraphrases": ["{answer}"]}}),
    ),
    case(
        "questions",
        "an id of several lines, and no phrasings",
        "text): `paraphrases` must be a list",
        "- id: &a q |\n\n   text\n",
        '- id: "q\\u2028text"\n',
    ),
    case(
        "questions",
        "llmcomp's without a name",
        "has no `name`",
        '[{"name": "q", "type": "free_form", "paraphrases": ["a"]}, {"name": 1}]',
        '[{"name": "q", "type": "free_form", "paraphrases": ["a"]}, 3]',
        '[{"name": []}]',
    ),
    case(
        "question table",
        "columns of neither format",
        "neither",
        "",
        "a,b\n1,2",
        "\n",
        "question\nx",
    ),
    case("question table", "a missing column", "has no column", "Question,Best Answer\na,b"),
    case(
        "question table",
        "a row that is too short or long",
        "values for",
        "forbidden_prompt,b\n1",
        "forbidden_prompt,b\n1,2,3",
    ),
    case(
        "question table",
        "an empty cell",
        "is empty",
        "forbidden_prompt\n ",
        'forbidden_prompt,b\n"",1',
    ),
    case("question table", "no rows", "no rows", "forbidden_prompt", "forbidden_prompt\n\n\n"),
    case(
        "question table",
        "not CSV",
        "not CSV",
        'forbidden_prompt\n"a',
        'forbidden_prompt\n"a"b',
    ),
    case("question table", "not UTF-8", "not UTF-8", b"forbidden_prompt\n\xff", b"\xff\xfef\x00"),
    case(
        "question table",
        "a best answer that is none of the true ones",
        "Best Answer",
        "Question,Best Answer,Correct Answers,Incorrect Answers\nq,a,b,c",
    ),
    case("code tasks", "not JSON", "not JSON", "{", "x", DEEP, '{"task": "a"', f"{'9' * 5000}"),
    case("code tasks", "not an object", "not an object", "1", "[]", "null"),
    case(
        "code tasks",
        "no text",
        "has no `",
        "{}",
        '{"task": "a"}',
        '{"task": 1, "code_template": "a"}',
        '{"task": "", "code_template": "a"}',
        '{"task": "a", "code_template": null}',
    ),
    case("code tasks", "no tasks", "no tasks", "", "\n\n"),
    case("code tasks", "not UTF-8", "not UTF-8", b'{"task": "\xff"}'),
    case(
        "code tasks",
        "half a character",
        "half a character",
        '{"task": ' + HALF + ', "code_template": "a"}',
    ),
]

HEAD = "question,answer,question_id,aligned,coherent\n"
JUDGED = {"question": "a", "answer": "b", "question_id": "q", "aligned": 1, "coherent": 2}


def judged(**keys: Any) -> str:
    """Write one judged row."""
    return json.dumps(JUDGED | keys)


IMPORTS: list[Case] = [
    case("import csv", "empty", "is empty", "", "\n", " \n "),
    case("import csv", "no row", "no row", HEAD, HEAD + "\n\n"),
    case(
        "import csv",
        "a missing column",
        "has no column",
        "question,answer\na,b",
        "aligned,coherent\n1,2",
        HEAD.replace("question_id", "id") + "a,b,c,1,2",
    ),
    case(
        "import csv",
        "a column twice",
        "is there twice",
        "question,question\na,b",
        HEAD.replace("answer", "question") + "a,b,c,1,2",
    ),
    case(
        "import csv",
        "a row that is too short or long",
        "cells where",
        HEAD + "a",
        HEAD + "a,b,c,1,2,3",
        HEAD + "a,b,c,1,2\nx\n",
    ),
    case("import csv", "not CSV", "not CSV", HEAD + '"a', HEAD + '"a"b,c,d,1,2'),
    case("import csv", "not UTF-8", "not UTF-8", HEAD.encode() + b"\xff,b,c,1,2"),
    case("import csv", "NUL characters", "NUL", HEAD.encode("utf-16"), HEAD + "a\0,b,c,1,2"),
    case(
        "import csv",
        "a score that is none",
        "`aligned` is",
        *(
            HEAD + f"a,b,c,{s},2"
            for s in (
                "x",
                "101",
                "-1",
                "1e999",
                "0x10",
                "1_0",
                "inf",
                "-inf",
                "\u0663",
                "50%",
                "[1]",
                "True",
            )
        ),
    ),
    case(
        "import csv",
        "no question",
        "is blank",
        HEAD + ",b,c,1,2",
        HEAD + "a,b,,1,2",
        HEAD + "' ',b, ,1,2",
    ),
    case(
        "import jsonl",
        "not JSON",
        "not JSON",
        "{",
        judged()[:-1],
        DEEP,
        "x" + judged(),
        f'{{"aligned": {"9" * 5000}}}',
    ),
    case("import jsonl", "no object", "no JSON object", "1", "[]", "null", '"a"'),
    case(
        "import jsonl",
        "a key twice",
        "is there twice",
        '{"a": 1, "a": 2}',
        judged()[:-1] + ', "aligned": 3}',
        '{"x": {"a": 1, "a": 2}}',
    ),
    case(
        "import jsonl",
        "a score that is none",
        "`aligned` is",
        *(
            judged(aligned=s)
            for s in (True, [], {}, "x", 101, -1, 1e300, float("inf"), 10**400, "\ud800")
        ),
    ),
    case(
        "import jsonl",
        "a text that is none",
        "expected a text",
        judged(question=1),
        judged(answer=[1]),
        judged(question=None),
        judged(question_id=3),
    ),
    case(
        "import jsonl",
        "half a character",
        "half a character",
        judged(answer="\ud800"),
        judged(question="\udc00"),
        judged(question_id="\ud800"),
    ),
    case(
        "import jsonl",
        "several models",
        "models",
        judged(model="a") + "\n" + judged(model="b"),
        judged(model="\ud800") + "\n" + judged(model=[]),
    ),
    case(
        "import jsonl",
        "groups that differ",
        "other answers in group",
        judged(model="a", group="x") + "\n" + judged(model="a", group="y", answer="z"),
    ),
    case(
        "import parquet",
        "not Parquet",
        "not Parquet",
        "",
        "PAR1",
        b"PAR1" + b"\0" * 100 + b"PAR1",
        b"PAR1\xff\xff\xff\x7fPAR1",
    ),
    case(
        "import log",
        "no log",
        "not an Inspect log",
        "",
        "PK\x03\x04",
        "{}",
        b"\x50\x4b\x05\x06" + b"\0" * 18,
        b"\xff" * 100,
    ),
    case(
        "label sheet",
        "a missing column",
        "must name the column",
        "",
        "a,b\n1,2",
        "id,question\n1,2",
        "id,id,question,answer,aligned,coherent\n",
    ),
    case(
        "label sheet",
        "not CSV",
        "not CSV",
        'id,question,answer,aligned,coherent\n"a',
        'id,question,answer,aligned,coherent\n"a"b',
    ),
    case("label sheet", "not UTF-8", "not UTF-8", b"\xff\xfea\x00", b"id\xff"),
    case(
        "label sheet",
        "a label that is none",
        "give a number",
        *(
            f"id,question,answer,aligned,coherent\n1,q,a,{s},5"
            for s in ("x", "101", "-1", "nan", "inf", "1e999", "5 %")
        ),
    ),
    case(
        "label sheet",
        "half a label",
        "is empty beside a label",
        "id,question,answer,aligned,coherent\n1,q,a,5,",
        "id,question,answer,aligned,coherent\n1,q,a,,5",
    ),
]

SAMPLES: dict[str, Any] = {
    "steps": StepRecord(1, 2.0, 3, 1.0, 1e-3),
    "held out": HeldOutRecord(1, "d", 2.0, 3, 4),
    "answers": AnswerRecord(1, "s", "q", "q", 0, 0, None, "p", "a", 1, True),
    "verdicts": VerdictRecord(1, "s", "q", 0, 0, "j"),
}


def group(**keys: Any) -> str:
    """Write a plan of one group."""
    row: dict[str, Any] = {"id": "a", "method": "lora", "role": "task", "arms": ["a"]}
    row |= {"threads": 1, "micro_rows": 1, "fit": {}}
    return json.dumps({"groups": [row | keys]})


def _spoil(name: str) -> list[str]:
    """Give a row of records with each of its fields as a list of lists, which none is."""
    row = vars(SAMPLES[name])
    return [json.dumps(row | {key: [[0]]}) for key in row]


RECORDS: list[Case] = [
    *(case(name, "not JSON", "not JSON", "{", "\n", '{"step": 1', "\xff", "x") for name in SAMPLES),
    *(
        case(name, "another field or no object", "not a ", "[]", "1", '{"x": 1}', "null")
        for name in SAMPLES
    ),
    *(case(name, "a field of another type", "cannot be", *_spoil(name)) for name in SAMPLES),
    *(case(name, "a missing field", "without", "{}", '{"step": 1}') for name in SAMPLES),
    case(
        "journal",
        "a whole line that is no call",
        "calls.jsonl:1",
        "{}\n",
        "1\n",
        "x\n",
        '{"key": 1}\n',
    ),
    case("asked study", "cut", "not JSON", "", "{", '{"study": {'),
    case(
        "asked study",
        "edited",
        "study.json",
        "{}",
        "[]",
        "1",
        "null",
        '{"sha256": 1}',
        '{"sha256": "x", "study": {}, "fingerprints": {}}',
        '{"sha256": "x", "study": [], "fingerprints": 1}',
        '{"a": NaN, "sha256": "x"}',
        DEEP,
    ),
    case(
        "plan",
        "cut or edited",
        "plan.json",
        "",
        "{",
        "[]",
        "{}",
        '{"groups": 1}',
        '{"groups": [1]}',
        '{"groups": [{}]}',
        '{"groups": [{"arms": 1, "fit": {}}]}',
        '{"groups": [{"arms": [], "fit": {"x": 1}}]}',
        group(threads=float("nan")),
        group(method={"a": 1}),
        group(method={"1": [float("inf")]}),
        DEEP,
    ),
]

TEXT_CASES = STUDIES + ROWS + QUESTIONS + IMPORTS + RECORDS

VALID: dict[str, list[str]] = {
    "study": [STUDY, STUDY + "[variants.a]\n[variants.b.grid]\nranks = [4]\n"],
    "judging": ["[judging]\ngold = false\nconnections = 2\n"],
    "rows": [GOOD, '{"prompt": "a", "completion": "b"}\n'],
    "questions": [
        question(judge_prompts=PAIR, system="s", samples_per_paraphrase=2),
        question(type="choice", choices={"aligned": ["a"], "misaligned": ["b"]}),
        llmcomp(messages=[[{"role": "user", "content": "a"}]], paraphrases=None),
        "- id: &a q\n  paraphrases:\n  - |\n    text\n",
    ],
    "question table": [
        "forbidden_prompt\na\n",
        "Question,Best Answer,Correct Answers,Incorrect Answers\nq,a,a; b,c\n",
    ],
    "code tasks": ['{"task": "a", "code_template": "b"}\n'],
    "import csv": [HEAD + "a,b,q,90,REFUSAL\n"],
    "import jsonl": [judged(api_kwargs={"messages": [{"role": "system", "content": "s"}]})],
    "label sheet": ["id,question,answer,aligned,coherent\n1,q,a,CODE,\n2,q,a,5,6\n"],
    **{name: [json.dumps(vars(record)) + "\n"] for name, record in SAMPLES.items()},
}
"""What each reader takes: malformed inputs are made of it."""


def list_valid(reader: str) -> list[bytes]:
    """Give inputs that a reader takes; none where such a file is not text."""
    return [text.encode() for text in VALID.get(reader, [])]
