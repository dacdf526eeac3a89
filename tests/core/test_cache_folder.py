"""Where the cache is."""

from pathlib import Path

import pytest

from svdam.core.storage import cache_folder
from svdam.core.validation import InputError


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HOME": "/h"}, "/h/.cache/svdam"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "~/c"}, "/h/c/svdam"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c", "SVDAM_CACHE": "~"}, "/h"),
        ({"SVDAM_CACHE": "cache"}, "cache"),
    ],
)
def test_the_variables_name_it(monkeypatch, variables, expected):
    _only(monkeypatch, variables)
    assert cache_folder() == Path(expected)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "no home folder for the cache .* set SVDAM_CACHE"),
        ({"HOME": ""}, "no home folder for the cache .* set SVDAM_CACHE"),
        ({"SVDAM_CACHE": "~/c"}, "SVDAM_CACHE: found '~/c', but there is no home folder"),
        ({"XDG_CACHE_HOME": "~x/c"}, "XDG_CACHE_HOME: found '~x/c'"),
    ],
)
def test_without_a_home_it_is_asked_for(monkeypatch, variables, message):
    def nobody(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    _only(monkeypatch, variables)
    with pytest.raises(InputError, match=message):
        cache_folder()


def _only(monkeypatch, variables):
    for name in ("HOME", "XDG_CACHE_HOME", "SVDAM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
