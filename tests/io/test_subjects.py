"""Tables of subjects that cannot be read."""

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.subjects import read_subjects


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / "subjects.csv").write_bytes(b"case,subject\n\xff\xfe,p1\n")
    with pytest.raises(UserError, match=r"table of subjects cannot be read(.|\n)*subjects.csv"):
        read_subjects(tmp_path, ["a"])
