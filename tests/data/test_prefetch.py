"""Reading ahead: the same elements, errors passed on, and no hang when it is given up."""

import subprocess
import sys

import pytest

from svdam.data.prefetch import Prefetched

GIVEN_UP = """
import sys, time
import numpy as np
from svdam.data.excerpts import _pipeline
from svdam.data.prefetch import Prefetched

def slow(number):
    # Plain Python work: it needs the interpreter's lock again and again.
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass
    return np.full(3, number, np.float32)

for trial in range(30):
    plain = iter(_pipeline(trial, slow, (3,)))
    assert next(plain)[0] == trial
    del plain
    with Prefetched(_pipeline(trial, slow, (3,))) as ahead:
        assert [float(next(ahead)[0]) for _ in range(2)] == [trial, trial + 1]
unclosed = Prefetched(_pipeline(0, slow, (3,)))
next(unclosed)
print("done")
"""


def test_pipelines_of_python_can_be_dropped_at_any_moment():
    """With tf.data's own prefetching this hung in the iterator's destructor."""
    result = subprocess.run(
        [sys.executable, "-c", GIVEN_UP], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr


def test_elements_come_in_order_to_their_end():
    with Prefetched(range(5)) as ahead:
        assert list(ahead) == [0, 1, 2, 3, 4]


def test_errors_come_where_their_element_would():
    def elements():
        yield 1
        raise ValueError("broken")

    with Prefetched(elements()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="broken"):
            next(ahead)
