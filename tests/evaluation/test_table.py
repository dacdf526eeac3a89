"""Scores as text."""

from svdam.evaluation.table import COLUMNS, plain_table


def test_columns_are_aligned_whatever_the_letters_of_the_names():
    scores = dict.fromkeys((key for key, _, _ in COLUMNS), 0.5) | {"auroc": None}
    names = {
        "four": 4,
        "夜の電車": 8,
        "Cafe\u0301": 4,
    }  # With the places that a terminal gives them.
    heading, *lines = plain_table([(name, scores) for name in names], "Song").splitlines()
    assert heading.startswith("Song      Threshold  Precision")  # 8 places and 2 between.
    for (name, places), line in zip(names.items(), lines, strict=True):
        assert line.startswith(f"{name}{' ' * (8 - places)}       0.50      0.500")
        assert line.endswith("0.500      -")
