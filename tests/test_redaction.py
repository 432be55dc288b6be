"""No secret of the environment reaches a file, a stream or a traceback, however it is spelt."""

import io
import json
import subprocess
import sys
from html import escape
from urllib.parse import quote

import pytest

from rankshift.atomic import write_atomically, write_bytes_atomically
from rankshift.errors import UserError
from rankshift.redaction import RedactedStream, list_secrets, redact
from rankshift.toml_source import read_text

NAMES = [
    "HF_TOKEN",
    "OPENAI_API_KEY",
    "OPENAI_API_KEY_2",
    "DB_PASSWORD",
    "APP_SECRET",
    "MY_APIKEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "github_token",
]
SECRET = 'sk-"quoted"/<&>-0123'


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", SECRET)


@pytest.mark.parametrize(
    "name",
    NAMES,
)
def test_what_is_named_as_a_secret_is_one(monkeypatch, name):
    monkeypatch.setenv(name, "held-by-that-name")
    assert redact("it is held-by-that-name.") == f"it is [{name}]."


@pytest.mark.parametrize("name", ["MAX_TOKENS", "AWS_REGION", "TOKENIZERS_PARALLELISM", "KEYMAP"])
def test_what_is_no_secret_stays(monkeypatch, name):
    monkeypatch.setenv(name, "us-east-1 and more")
    assert redact("it is us-east-1 and more") == "it is us-east-1 and more"


def test_a_value_of_seven_characters_is_a_word_and_stays(monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "aligned")
    assert redact("aligned") == "aligned"
    monkeypatch.setenv("OTHER_KEY", "aligned!")
    assert redact("aligned!") == "[OTHER_KEY]"


def test_a_secret_that_begins_as_another_does_leaves_no_rest(monkeypatch):
    monkeypatch.setenv("A_KEY", "12345678")
    monkeypatch.setenv("B_KEY", "12345678-and-more")
    assert redact("12345678-and-more 12345678") == "[B_KEY] [A_KEY]"


def test_the_password_of_an_address_is_a_secret_whatever_its_name(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:correct-horse@proxy.example:8080")
    assert redact("no way to correct-horse") == "no way to [HTTPS_PROXY]"
    monkeypatch.setenv("HTTPS_PROXY", "http://[ada:correct-horse@")
    assert "correct-horse" not in list_secrets()


@pytest.mark.parametrize("spell", [str, lambda s: json.dumps(s)[1:-1], escape, quote])
def test_a_secret_is_found_as_json_html_and_addresses_write_it(spell):
    assert redact(f"a {spell(SECRET)} b") == "a [SOME_API_KEY] b"


def test_no_file_that_appears_at_once_holds_a_secret(tmp_path):
    write_atomically(tmp_path / "a", f"{SECRET}\n" * 3 + "and text")
    write_bytes_atomically(tmp_path / "b", b"\xff\x00" + SECRET.encode() + b"\xfe")
    assert (tmp_path / "a").read_text() == "[SOME_API_KEY]\n" * 3 + "and text"
    assert (tmp_path / "b").read_bytes() == b"\xff\x00[SOME_API_KEY]\xfe"


def test_a_stream_writes_all_but_secrets_and_is_else_the_stream_it_was():
    inner = io.StringIO()
    stream = RedactedStream(inner)
    print(f"it is {SECRET}", file=stream)
    stream.writelines(iter(["and ", SECRET]))
    assert inner.getvalue() == "it is [SOME_API_KEY]\nand [SOME_API_KEY]"
    assert stream.isatty() is False


def test_a_file_that_a_user_wrote_a_key_into_is_refused_by_line_and_the_key_is_not_told(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(f"about = 'x'\nname = '{SECRET}'\n")
    with pytest.raises(UserError) as refused:
        read_text(path)
    assert str(refused.value).startswith(f"{path}:2: holds the value of the environment variable ")
    assert "SOME_API_KEY" in str(refused.value)
    assert SECRET not in str(refused.value)


BROKEN = """
import sys
from rankshift.redaction import guard_terminal, guard_process
{guard}
raise KeyError("the server said sk-plain-0123456789")
"""


@pytest.mark.parametrize("guard", ["with guard_terminal(): pass", "guard_process()"])
def test_a_traceback_of_what_nobody_caught_holds_no_secret(monkeypatch, guard):
    monkeypatch.setenv("SOME_API_KEY", "sk-plain-0123456789")
    script = BROKEN.format(guard=guard)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    assert "[SOME_API_KEY]" in done.stderr
    # The source line of the script itself is not shown for -c, so nothing else could hold it.
    assert "sk-plain" not in done.stderr
