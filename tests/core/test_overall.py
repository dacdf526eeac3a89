"""One bar over several phases, whose work is only foretold."""

from svdam.core.overall import Overall


def test_a_phase_that_takes_less_is_filled_up():
    with Overall({"first": 10, "second": 20}) as overall:
        overall.begin("first")
        overall.advance(4)
        overall.begin("second")
        assert (overall.bar.n, overall.bar.total) == (10, 30)
        overall.advance(5)
    assert (overall.bar.n, overall.bar.total) == (30, 30)


def test_a_phase_that_takes_more_moves_the_end_of_the_bar():
    with Overall({"first": 10, "second": 20}) as overall:
        overall.begin("first")
        for done in range(1, 101):
            overall.advance(1)
            assert overall.bar.n == done
            assert overall.bar.n <= overall.bar.total - 20
        # A quarter more than has been done, when it last had to move, and the second phase.
        assert overall.bar.total <= 100 * 1.25 + 20
        overall.begin("second")
        assert overall.bar.total - overall.bar.n == 20
