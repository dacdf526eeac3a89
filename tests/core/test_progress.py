"""Progress bars."""

from svdam.core.progress import progress


def test_where_there_is_nothing_to_do_nothing_is_shown(capsys):
    with progress(total=0, description="predicting", unit="frame") as bar:
        bar.update(5)
    assert list(progress(iter("ab"), total=0)) == ["a", "b"] and not capsys.readouterr().err
    assert list(progress(iter("ab"), total=2, unit="letter")) == ["a", "b"]
    assert "2/2" in capsys.readouterr().err
