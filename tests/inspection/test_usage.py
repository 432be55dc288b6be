import pytest
from inspect_ai._util.error import PrerequisiteError

from rankshift.errors import UserError
from rankshift.eval.asking import JudgeRefusal
from rankshift.inspection.usage import as_prerequisite


@pytest.mark.parametrize("error", [UserError, JudgeRefusal])
def test_what_a_user_got_wrong_is_a_line_that_inspect_prints_as_it_is(error):
    with pytest.raises(PrerequisiteError) as told, as_prerequisite():
        raise error("no [bold] arm")
    assert told.value.message == r"rankshift: no \[bold] arm"


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(KeyError), as_prerequisite():
        raise KeyError("x")
