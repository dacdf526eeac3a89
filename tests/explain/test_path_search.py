"""The path search against `maximize`, eq. 3 by hand and a problem whose optimum is known."""

import keras
import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.evaluation.frechet import frechet_distance_of_samples
from svdam.evaluation.ranking import rank_configurations
from svdam.explain.maximization import Maximizer, maximize
from svdam.explain.optimizers import GradientAscent
from svdam.explain.path_search import PathSearch, geometric_steps
from svdam.explain.starts import latents_from_seeds
from svdam.stages.collect_responses import ResponseSettings, collect_responses
from tests.explain.small_models import (
    LATENT_SIZE,
    double_precision,
    small_classifier,
    small_generator,
)

RESPONSES = ["logit:0", "fc1:2"]
WEIGHTS = (0.3, 0.01)
STEPS = (1, 2, 4, 7, 11, 16)


@pytest.fixture(scope="module")
def models():
    with double_precision():
        return small_generator(), small_classifier()


@pytest.fixture(scope="module")
def engine(models):
    return Maximizer(*models, RESPONSES)


@pytest.fixture(scope="module")
def latents():
    return latents_from_seeds(range(4), LATENT_SIZE)


@pytest.fixture(scope="module")
def runs(models, latents):
    """Snapshots of `maximize`, one run per response, direction and weight."""
    return {
        (response, direction, weight): maximize(
            *models,
            latents,
            response=response,
            direction=direction,
            learning_rate=0.05,
            prior_weight=weight,
            num_steps=max(STEPS),
            snapshot_steps=STEPS,
        ).snapshots
        for response in RESPONSES
        for direction in ("max", "min")
        for weight in WEIGHTS
    }


@pytest.fixture(scope="module")
def extremes(runs):
    """Real responses that the search meets on its way: near those after 4 (or 7) of its steps."""
    near = np.array([-0.01, 0.0, 0.01, 0.02, 0.03])
    return {
        name: np.array([runs[one, way, 0.01][step].responses.mean() + near for one in RESPONSES])
        for name, way, step in (("highest", "max", 4), ("lowest", "min", 7))
    }


def test_equals_the_snapshots_of_maximize_and_eq_3(engine, latents, runs, extremes):
    search = PathSearch(
        engine,
        latents,
        **extremes,
        learning_rate=0.05,
        prior_weights=WEIGHTS,
        steps=STEPS,
        patience=len(STEPS),
        max_batch=7,
    )
    states = []
    results = search.run(states.append)
    assert [(one.response, one.direction) for one in results] == [
        (response, way) for response in RESPONSES for way in ("max", "min")
    ]
    for found in results:
        name = "highest" if found.direction == "max" else "lowest"
        real = extremes[name][RESPONSES.index(found.response)]
        expected = [
            [
                frechet_distance_of_samples(
                    real, runs[found.response, found.direction, weight][step].responses
                )
                for step in STEPS
            ]
            for weight in WEIGHTS
        ]
        np.testing.assert_allclose(found.distances, expected, rtol=1e-9, atol=1e-12)
        assert found.distance == np.min(found.distances)
        along = [
            [runs[found.response, found.direction, weight][step].responses for step in STEPS]
            for weight in WEIGHTS
        ]
        np.testing.assert_allclose(found.path_responses, along, rtol=1e-9)
        best = found.configuration
        same = runs[found.response, found.direction, best.prior_weight][best.num_steps]
        for name in ("latents", "examples", "responses"):
            np.testing.assert_allclose(getattr(found, name), getattr(same, name), rtol=0, atol=1e-9)
        row = rank_configurations(found.responses[None], real, [best]).best
        assert (found.distance_low, found.distance_high) == (row.distance_low, row.distance_high)
    assert states[-1].latent_steps == 2 * 2 * 2 * 4 * (max(STEPS) + 1)


def test_stopping_early_finds_what_the_full_search_finds(engine, latents, extremes):
    options = {"learning_rate": 0.05, "prior_weights": WEIGHTS, "steps": geometric_steps(40, 1.2)}
    full = PathSearch(engine, latents, **extremes, patience=99, **options)
    early = PathSearch(engine, latents, **extremes, patience=2, **options)
    states = {}
    both = [
        search.run(lambda state, search=search: states.update({search: state}))
        for search in (full, early)
    ]
    assert states[early].latent_steps < 0.7 * states[full].latent_steps
    for one, other in zip(*both, strict=True):
        assert one.configuration == other.configuration
        assert not one.has_turned and other.has_turned
        np.testing.assert_allclose(one.distance, other.distance, rtol=1e-9)
        np.testing.assert_allclose(one.latents, other.latents, rtol=0, atol=1e-9)
        seen = ~np.isnan(other.distances)
        searched = other.distances.shape[1]
        np.testing.assert_allclose(
            one.distances[:, :searched][seen], other.distances[seen], rtol=1e-9, atol=1e-12
        )


def test_a_search_resumes_from_any_state(engine, latents, extremes):
    options = {"prior_weights": WEIGHTS, "steps": STEPS, "learning_rate": 0.05}
    search = PathSearch(engine, latents, **extremes, **options)
    states = []
    whole = search.run(states.append)
    state = states[2]
    while not search.is_done(state):
        state = search.advance(state)
    for one, other in zip(whole, search.results(state), strict=True):
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.distances, other.distances)


def test_a_distance_that_is_negligible_is_not_improved(engine, latents, extremes):
    options = {"prior_weights": WEIGHTS, "steps": geometric_steps(40, 1.2), "learning_rate": 0.05}
    full = PathSearch(engine, latents, **extremes, **options).run()
    enough = [one.distances[0, 1] for one in full[::2]]  # Of what is maximized, after 2 steps.
    found = PathSearch(
        engine, latents, highest=extremes["highest"], negligible=enough, **options
    ).run()
    for one, before in zip(found, full[::2], strict=True):
        assert one.has_turned and np.isfinite(one.distances[0]).sum() == 2 + 3 - 1 + 1
        assert np.isfinite(before.distances[0]).sum() > 5
        assert one.distance == np.nanmin(one.distances)


def test_some_responses_of_an_engine(engine, latents, extremes):
    options = {"prior_weights": WEIGHTS, "steps": STEPS}
    _, _, *expected = PathSearch(engine, latents, **extremes, **options).run()
    second = {name: values[1] for name, values in extremes.items()}
    found = PathSearch(engine, latents, **second, places=[1], **options).run()
    for one, other in zip(found, expected, strict=True):
        assert (one.response, one.direction) == (other.response, other.direction)
        np.testing.assert_allclose(one.distances, other.distances, rtol=1e-9)
        np.testing.assert_allclose(one.latents, other.latents, rtol=0, atol=1e-9)


def test_every_target_can_have_its_own_starts(engine, latents, extremes):
    options = {"prior_weights": WEIGHTS, "steps": STEPS}
    starts = np.stack([latents + shift for shift in (0, 0.1, -0.2, 0.3)])
    found = PathSearch(engine, starts, **extremes, **options).run()
    for number, one in enumerate(found):
        same = PathSearch(engine, starts[number], **extremes, **options).run()[number]
        assert one.configuration == same.configuration
        np.testing.assert_allclose(one.distances, same.distances, rtol=1e-9)
        np.testing.assert_allclose(one.latents, same.latents, rtol=0, atol=1e-9)


def test_a_known_optimum():
    """The response is the first coordinate, which Adam moves by the rate: 0.1 per step."""
    excerpt = keras.Input((3, 1, 1))
    first = keras.layers.Flatten(name="all")(excerpt)
    classifier = keras.Model(excerpt, first)
    starts = np.array([[0.5, 0, 0], [0.25, 0, 0], [0.75, 0, 0]]).reshape(3, 3, 1, 1)
    search = PathSearch(
        Maximizer(None, classifier, "all:0", prior="none"),
        starts,
        highest=[1.45, 1.7, 1.95],  # The starts, 12 steps further.
        lowest=[-0.35, -0.1, 0.15],  # 6 steps the other way.
        learning_rate=0.1,
        prior_weights=[0],
        steps=range(1, 40),
    )
    up, down = search.run()
    assert (up.configuration.num_steps, down.configuration.num_steps) == (12, 6)
    # A step further, each is more than 15 % farther away.
    assert up.distance < 1e-10 and up.steps[-1] == 13
    assert np.isnan(down.distances[0, 7:]).all() and np.isfinite(down.distances[0, :7]).all()
    np.testing.assert_allclose(up.examples[:, 0, 0, 0], [1.7, 1.45, 1.95], atol=1e-5)
    np.testing.assert_allclose(up.examples[:, 1:], 0)


def test_a_distance_that_creeps_is_not_followed_to_the_end():
    """Steps of 0.1 towards real responses that are 4 away halve the distance, 1000 away do not."""
    excerpt = keras.Input((3, 1, 1))
    classifier = keras.Model(excerpt, keras.layers.Flatten(name="all")(excerpt))
    starts = np.zeros((3, 3, 1, 1)) + np.array([0, 1, 2]).reshape(3, 1, 1, 1)
    search = PathSearch(
        Maximizer(None, classifier, ["all:0", "all:1"], prior="none"),
        starts,
        highest=np.array([4.0, 1000.0])[:, None] + [0, 1, 2],
        learning_rate=0.1,
        prior_weights=[0],
        steps=range(1, 40),
    )
    near, far = search.run()
    assert near.configuration.num_steps == 39 and not near.has_turned
    assert far.configuration.num_steps == 4 and far.has_turned
    assert np.isfinite(far.distances).sum() == 4
    assert (np.diff(far.distances[0, :4]) < 0).all()


def test_chunks_and_progress(engine, latents, extremes):
    told = []
    options = {"prior_weights": WEIGHTS, "steps": (1, 3, 5)}
    states = []
    small = PathSearch(engine, latents, **extremes, max_batch=3, **options)
    results = small.run(states.append, told.append)
    assert sum(told) == states[-1].latent_steps and max(told) <= 3 * 2
    for one, other in zip(
        results, PathSearch(engine, latents, **extremes, **options).run(), strict=True
    ):
        np.testing.assert_allclose(one.distances, other.distances, rtol=1e-9)


def test_real_responses_of_songs(records_folder, tmp_path):
    """Through the file that collect_responses writes."""
    classifier = small_classifier((115, 80, 1))
    classifier.save(tmp_path / "classifier.keras")
    real = collect_responses(
        ResponseSettings(
            output=str(tmp_path / "responses"),
            records=str(records_folder),
            classifier=str(tmp_path / "classifier.keras"),
            response="fc1:1",
            top_n=3,
        )
    )
    starts = latents_from_seeds(range(3), LATENT_SIZE)
    engine = Maximizer(small_generator((115, 80, 1)), classifier, real.response)
    search = PathSearch(
        engine,
        starts,
        highest=real.highest.responses,
        lowest=real.lowest.responses,
        steps=geometric_steps(10),
    )
    for found, top in zip(search.run(), (real.highest, real.lowest), strict=True):
        apart = frechet_distance_of_samples(top.responses, found.responses)
        np.testing.assert_allclose(found.distance, apart, rtol=1e-6)
        fc1 = keras.Model(classifier.inputs, classifier.get_layer("fc1").output)
        np.testing.assert_allclose(found.responses, fc1(found.examples)[:, 1], rtol=1e-4)
        sign = 1 if found.direction == "max" else -1
        begin = engine.evaluate(starts).responses
        assert (sign * (found.responses - begin) > 0).all()


def test_geometric_steps():
    assert geometric_steps(20) == (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 20)
    assert geometric_steps(1) == (1,)
    for arguments in ((0, 1.25), (9, 1.0), (9, np.nan)):
        with pytest.raises(InputError, match="expected at least 1 and more than 1"):
            geometric_steps(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"highest": None, "lowest": None}, "highest, lowest: found neither"),
        ({"highest": np.zeros((3, 5))}, r"highest: found shape \(3, 5\), expected \(2, M\)"),
        ({"highest": np.zeros(5)}, r"highest: found shape \(5,\), expected \(2, M\)"),
        ({"lowest": np.full((2, 5), np.nan)}, "lowest: 10 of 10 values are not finite"),
        ({"latents": np.zeros((1, 6))}, r"latents: found shape \(1, 6\), .* N at least 2"),
        ({"latents": np.zeros((3, 2, 6))}, r"latents: found shape \(3, 2, 6\), .*\(4, N, n\)"),
        ({"learning_rate": 0}, "learning_rate: found 0, expected more than 0"),
        ({"prior_weights": []}, "prior_weights: found shape"),
        ({"prior_weights": [-1]}, "prior_weights: found -1, expected at least 0"),
        ({"steps": []}, r"steps: found \[\], expected increasing steps"),
        ({"steps": [0, 1]}, "steps: found"),
        ({"steps": [2, 2]}, "steps: found"),
        ({"patience": 0}, "found patience 0 and max_batch 150"),
        ({"max_batch": 0}, "max_batch 0"),
    ],
)
def test_bad_input_is_refused(engine, latents, extremes, changes, message):
    with pytest.raises(InputError, match=message):
        PathSearch(engine, **{"latents": latents, **extremes, **changes})


def test_responses_that_are_not_finite_are_refused():
    excerpt = keras.Input((3, 1, 1))
    classifier = keras.Model(excerpt, keras.layers.Flatten(name="all")(excerpt))
    engine = Maximizer(None, classifier, lambda named: 1 / (0 * named["all"][:, 0]), prior="none")
    search = PathSearch(engine, np.ones((2, 3, 1, 1)), highest=[1, 2], prior_weights=[0])
    with pytest.raises(InputError, match="is not finite after 1 steps"):
        search.run()


def test_a_falling_rate_cannot_be_continued(models, latents):
    engine = Maximizer(*models, "logit:0", optimizer=GradientAscent())
    search = PathSearch(engine, latents, highest=[1, 2])
    with pytest.raises(InputError, match="GradientAscent"):
        search.run()
