"""Figures say what their axes are, and show what the content holds."""

import numpy as np
import pytest
import scipy.stats

from svdam.core import drawing
from svdam.report import charts, figures
from svdam.report.content import ConceptRow, RealismRow
from svdam.report.pages import report_figures


def outer_panels(figure):
    """Panels at the left and at the bottom, which carry the labels of their row and column."""
    panels = [panel for panel in figure.axes if panel.get_subplotspec()]  # Not the colour bar.
    left = [panel for panel in panels if panel.get_subplotspec().is_first_col()]
    bottom = [panel for panel in panels if panel.get_subplotspec().is_last_row()]
    return left, bottom


def test_every_figure_has_labelled_axes(content):
    names = set()
    for name, figure in report_figures(content):
        names.add(name)
        left, bottom = outer_panels(figure)
        assert all(panel.get_ylabel() for panel in left), name
        assert all(panel.get_xlabel() for panel in bottom), name
    assert {"figure_2", "figure_3", "figure_4", "figure_4-common", "curves"} <= names


def test_figure_4_is_start_maximized_minimized_by_four_latents(content):
    figure = figures.concept_examples_figure(content)
    assert len(figure.axes) == 12
    titles = [panel.get_title() for panel in figure.axes]
    expected = [
        one.responses[i]
        for one in (content.start, content.maximized, content.minimized)
        for i in range(4)
    ]
    shown = [float(title.split()[1].replace("\N{MINUS SIGN}", "-")) for title in titles]
    np.testing.assert_allclose(shown, expected, atol=0.006)
    drawn = figure.axes[4].images[0].get_array()
    np.testing.assert_array_equal(drawn, content.maximized.log_mels[0].T)


def test_figure_3_has_two_latents_under_best_median_worst(content):
    figure = figures.configurations_figure(content)
    drawn = [panel.images[0].get_array() for panel in figure.axes]
    sets = [content.start, *content.configurations]
    expected = [one.log_mels[i].T for i in range(2) for one in sets]
    np.testing.assert_array_equal(drawn, expected)


def test_spectrogram_axes_are_seconds_and_hertz(content, axes):
    figure = figures.concept_examples_figure(content)
    panel = figure.axes[8]  # Lower left.
    assert panel.get_xlabel() == "time (s)" and "frequency (Hz)" in panel.get_ylabel()
    left, right, bottom, top = panel.images[0].get_extent()
    assert (left, bottom, top) == (0, -0.5, 79.5)
    assert right == pytest.approx(20 / 70)
    assert bottom < top and panel.images[0].origin == "lower"
    for tick, label in zip(panel.get_yticks(), panel.get_yticklabels(), strict=True):
        low, high = axes.band_hz[int(tick)], axes.band_hz[int(tick) + 1]
        assert low <= float(label.get_text()) <= high


def test_own_and_common_scale(content):
    own = figures.concept_examples_figure(content).axes[0].images[0]
    assert own.get_clim() == (content.start.log_mels[0].min(), content.start.log_mels[0].max())
    *common, bar = figures.concept_examples_figure(content, (-8, 1)).axes
    assert {panel.images[0].get_clim() for panel in common} == {(-8, 1)}
    assert "log-mel" in bar.get_ylabel() and bar.get_ylim() == (-8, 1)


def test_set_far_outside_is_named_at_the_edge(content):
    panel = figures.density_figure(content).axes[0]
    assert any("worst" in text.get_text() for text in panel.texts)
    assert panel.get_xlim()[1] < 20
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert "the 5 highest real excerpts" in labels


def test_every_response_has_a_mark_below_the_densities(content):
    panel = figures.density_figure(content).axes[0]
    marks = [line.get_xdata() for line in panel.lines if line.get_marker() == "|"]
    sets = content.real_responses, content.start.responses, content.compared_responses
    for found, expected in zip(marks, (*sets, content.best.responses), strict=False):
        np.testing.assert_array_equal(found, expected)


def test_density_is_that_of_the_distribution_and_sums_to_one():
    grid = np.linspace(-6, 12, 4000)
    for values, expected, error in (
        (np.random.default_rng(0).normal(3, 2, 4000), scipy.stats.norm(3, 2).pdf(grid), 0.02),
        (np.full(7, 2.5), scipy.stats.norm(2.5, 0.018).pdf(grid), 1e-6),
        (np.array([2.5]), scipy.stats.norm(2.5, 0.018).pdf(grid), 1e-6),
    ):
        density = figures.kernel_density(values, grid)
        assert np.abs(density - expected).max() < error
        assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=0.02)


def test_effect_is_coloured_by_what_it_says_of_the_paper():
    rows = [
        ConceptRow("a → b", "transients", "dB/s", 30, 20, effect, effect - 0.4, effect + 0.4, sign)
        for effect, sign in ((-0.8, -1), (-0.8, 1), (-0.1, 1), (-0.8, 0))
    ]
    assert [row.verdict for row in rows] == ["agrees", "reverse", "unclear", ""]
    for row in rows:
        [panel] = charts.concept_figure([row]).axes
        [point] = [line for line in panel.lines if line.get_marker() == "o"]
        assert point.get_color() == charts.VERDICT_COLORS[row.verdict]
        shaded = [one.get_paths()[0].get_extents() for one in panel.collections]
        assert [np.sign(one.x0 + one.x1) for one in shaded] == [row.claimed_sign] * bool(
            row.claimed_sign
        )


def test_ranking_with_zero_distance_can_be_drawn(content):
    figure = charts.ranking_figure(content.ranking)
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_yticklabels()[0].get_text().startswith("best")


def test_users_own_matplotlib_settings_do_not_matter(content):
    import matplotlib

    before = matplotlib.rcParams["axes.labelsize"]
    with matplotlib.rc_context({"axes.labelsize": 40}):
        figure = charts.ranking_figure(content.ranking)
        assert matplotlib.rcParams["axes.labelsize"] == 40
    assert figure.axes[0].xaxis.label.get_fontsize() < 20
    assert matplotlib.rcParams["axes.labelsize"] == before


def test_names_that_the_font_lacks_are_drawn_without_warnings(content, tmp_path, recwarn):
    assert drawing.printable("chœur 歌 λ $x$") == r"chœur □ λ \$x\$"
    content.response = "歌$_{"
    for figure in (figures.density_figure(content), charts.curves_figure(content)):
        figure.savefig(tmp_path / "figure.png")
    assert not [one for one in recwarn if "lyph" in str(one.message)]


def test_realism_of_very_different_sizes_is_spread_out_and_the_best_is_on_top():
    def rows(*scores):
        marks = ["best", "", "", "worst"]
        return [
            RealismRow(str(i), mark, 10.0**i, score, None)
            for i, (mark, score) in enumerate(zip(marks, scores, strict=True), 1)
        ]

    for scores, scale in (
        ((-1.0, -2.0, -3.0, -900.0), "symlog"),
        ((1.0, 2.0, 3.0, 900.0), "log"),
        ((1.0, 2.0, 3.0, 4.0), "linear"),
    ):
        [panel] = charts.realism_figure(rows(*scores)).axes
        assert panel.get_yscale() == scale
        low, high = panel.get_ylim()
        assert low < min(scores) and max(scores) < high
        assert [line.get_label() for line in panel.lines][-2:] == ["best", "worst"]
