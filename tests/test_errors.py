import pickle

import pytest

from rankshift.errors import UserError, WorkError


@pytest.mark.parametrize("kind", [UserError, WorkError])
def test_a_message_is_one_line_whatever_breaks_it_repeats_of_a_file(kind: type[Exception]):
    error = kind("q.yaml: question 1 (first\nsecond\u2028third): has no text")
    assert str(error) == "q.yaml: question 1 (first second third): has no text"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # workers send them
