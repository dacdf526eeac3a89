"""What this machine cannot hold is refused, before it is tried."""

import os

import pytest

from svdam.core import memory
from svdam.core.validation import InputError


def test_available_is_between_free_and_all():
    page = os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.available_bytes() <= page * os.sysconf("SC_PHYS_PAGES")
    # Others may take some between the two questions.
    assert memory.available_bytes() > 0.5 * page * os.sysconf("SC_AVPHYS_PAGES")


def test_the_refusal_names_the_flag_and_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 2**30)
    memory.require_memory(2.9 * 2**30, "batch_size", 64)
    with pytest.raises(InputError) as caught:
        memory.require_memory(3.5 * 2**30, "batch_size", 64)
    assert str(caught.value) == (
        "--batch_size: 64 would take about 3.5 GiB of memory, and only 3.0 are available; "
        "use a smaller value"
    )


def test_where_the_system_does_not_tell_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require_memory(1e18, "batch_size", 64)
