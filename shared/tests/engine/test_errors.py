"""What the entry points print of an error."""

import pytest
from torch._utils import ExceptionWrapper

from mmrepro.datasets.series import SeriesError
from mmrepro.engine.errors import UserError, in_one_line


@pytest.mark.parametrize("kind", [UserError, SeriesError, FileNotFoundError])
def test_a_loaders_process_says_no_more_than_the_main_one(kind):
    try:
        raise kind("a.npy is empty: 0 bytes. Fix: leave it out") from OSError("what was behind it")
    except kind:
        sent = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(SystemExit) as ended, in_one_line():
        sent.reraise()
    assert str(ended.value) == "error: a.npy is empty: 0 bytes. Fix: leave it out"
