"""Transfer and its interval, against values computed by hand and Fieller's theorem."""

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.evaluation.transfer import measure_transfer


def sets(maximized=0.5, minimized=0.1, highest=1.0, lowest=0.2, count=400, spread=0.3, seed=0):
    """Normally distributed responses; maximized and minimized examples are correlated."""
    draw = np.random.RandomState(seed).normal
    common = draw(size=count)
    return {
        "maximized": maximized + spread * (common + 0.5 * draw(size=count)),
        "minimized": minimized + spread * (common + 0.5 * draw(size=count)),
        "highest": highest + spread * draw(size=count),
        "lowest": lowest + spread * draw(size=count),
    }


def fieller(heard):
    """The exact 95 % interval of the ratio of two independent, normally distributed means."""
    paired = heard["maximized"] - heard["minimized"]
    top, top_var = paired.mean(), paired.var(ddof=1) / len(paired)
    high, low = heard["highest"], heard["lowest"]
    bottom = high.mean() - low.mean()
    bottom_var = high.var(ddof=1) / len(high) + low.var(ddof=1) / len(low)
    squared = 1.96**2
    return np.sort(
        np.roots([bottom**2 - squared * bottom_var, -2 * top * bottom, top**2 - squared * top_var])
    )


def test_transfer_by_hand():
    found = measure_transfer(
        {
            "start": [0.5],
            "maximized": [1.0, 3.0],
            "minimized": [1.0, 1.0],
            "highest": [4.0, 6.0],
            "lowest": [0.0, 2.0],
        }
    )
    assert found.means == {"start": 0.5, "maximized": 2, "minimized": 1, "highest": 5, "lowest": 1}
    assert (found.transfer, found.real_difference) == (0.25, 4)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_fieller(seed):
    heard = sets(seed=seed)
    found = measure_transfer(heard, num_resamples=4000)
    low, high = fieller(heard)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert found.is_defined


def test_the_reverse_is_negative():
    found = measure_transfer(sets(maximized=0.1, minimized=0.5))
    assert found.low < found.transfer < found.high < 0


@pytest.mark.parametrize(("highest", "lowest"), [(0.2, 0.2), (0.2, 1.0)])
def test_a_listener_that_does_not_tell_real_excerpts_apart_gives_no_share(highest, lowest):
    found = measure_transfer(sets(highest=highest, lowest=lowest))
    assert not found.is_defined
    assert np.isnan([found.transfer, found.low, found.high]).all()
    assert found.real_low < found.real_difference < found.real_high


def test_few_excerpts_give_wide_intervals_and_no_warnings(recwarn):
    found = measure_transfer(sets(highest=1.6, lowest=0.1, count=3, spread=0.5))
    assert found.low < found.transfer < found.high
    assert not recwarn.list


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lowest": None}, "no responses of 'lowest'"),
        ({"maximized": [1.0]}, "maximized has shape"),
        ({"start": [np.nan]}, "start: 1 of 1 values are not finite"),
        ({"maximized": [1.0, 2.0, 3.0]}, "3 maximized and 2 minimized"),
    ],
)
def test_bad_input_is_refused(change, message):
    heard = {**sets(count=2), **change}
    heard = {name: values for name, values in heard.items() if values is not None}
    with pytest.raises(InputError, match=message):
        measure_transfer(heard)
