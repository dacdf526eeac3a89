"""The sections of the report's page, each a function from the content to HTML."""

import json
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from svdam.report import paper
from svdam.report.charts import REALISM_MEASURES
from svdam.report.content import ExampleSet, RankingRow, ReportContent
from svdam.report.figures import figure_4_sets
from svdam.report.files import Sounds
from svdam.report.markup import (
    MINUS,
    NO_VALUE,
    facts,
    figure,
    number,
    percent,
    play,
    spectrogram,
    table,
)

MEASURES_NAME = "concept.csv"
"""File beside the page with Section 4.2's measures of every example."""


def opposite(content: ReportContent) -> tuple[str, str]:
    """What the grid did, and which real responses it was compared with, in words."""
    return ("maximize", "highest") if content.direction == "max" else ("minimize", "lowest")


def concept_examples(content: ReportContent, sounds: Sounds) -> str:
    """Figure 4 and Table 6: what the neuron listens for."""
    name = escape(content.concept_name)
    count = min(4, len(content.start))
    rows = []
    for kind, one in figure_4_sets(content):
        cells = [
            number(one.responses[i])
            + play(one, i, sounds, f"{content.start.labels[i]}, {kind}", "")
            for i in range(count)
        ]
        rows.append(("", [f"{kind}, ours", *cells]))
        printed = [number(value) for value in paper.TABLE_6[kind][:count]]
        rows.append(("of-paper", [f"{kind}, the paper", *printed]))
    header = ["", *(f"a<sub>{i + 1}</sub> ({content.start.labels[i]})" for i in range(count))]
    spoken = "; ".join(
        f"{kind}: responses {', '.join(number(value) for value in one.responses[:count])}"
        for kind, one in figure_4_sets(content)
    )
    caption = (
        "<b>Figure 4. The same starting sounds, pushed both ways.</b> Each column starts from one "
        "random sound of the generator (top). Below it: what became of it when the search "
        "made the neuron respond as strongly, and as weakly, as it could. Time runs to the right, "
        "pitch upwards; red is loud, blue is quiet, each picture on its own scale unless the "
        "switch at the top says otherwise."
    )
    return (
        f"<h2>What the neuron listens for</h2>"
        f"<p>Compare the rows, and listen. What the maximized sounds share and the minimized ones "
        f"lack is what the neuron takes for {name}. Long parallel ridges are harmonics of a tone "
        "or a voice; vertical bars are drum hits; red at the bottom is bass.</p>"
        + figure("figure_4", caption, f"Spectrograms of {count} examples. {spoken}.", scales=True)
        + table(
            "<b>Table 6. Responses in Figure 4.</b> The paper's classifier, generator and latents "
            "are others, so only the pattern compares: in the paper near zero, clearly up, clearly "
            "down.",
            header,
            rows,
        )
    )


def concept_measures(content: ReportContent) -> str:
    """Section 4.2 as effect sizes."""
    if not content.concept:
        return ""
    rows = []
    for row in content.concept:
        style = {"agrees": "good", "reverse": "bad"}.get(row.verdict, "")
        digits = 3 if row.unit == "share" else 1
        unit = "" if row.unit == "share" else f" {escape(row.unit)}"
        rows.append(
            (
                "",
                [
                    escape(row.comparison),
                    escape(row.measure),
                    number(row.mean_before, digits) + unit,
                    number(row.mean_after, digits) + unit,
                    number(row.effect_size),
                    f"[{number(row.effect_low)}, {number(row.effect_high)}]",
                    {1: "more", -1: "less", 0: NO_VALUE}[row.claimed_sign],
                    f'<span class="{style}">{row.verdict or NO_VALUE}</span>',
                ],
            )
        )
    header = ["compared", "measure", "mean before", "mean after", "effect size", "95 % interval",
              "the paper", "found"]  # fmt: skip
    spoken = "; ".join(
        f"{row.comparison}, {row.measure}: {number(row.effect_size)}" for row in content.concept
    )
    caption = (
        "<b>How far apart the sets lie</b>, in standard deviations: right of the line means more "
        "of it after the arrow than before, left means less. The bar is the 95 % interval. Shaded "
        "is the side that the paper describes; green agrees with it, red is the reverse, grey "
        "is unclear. Of real excerpts (black) the paper says nothing."
    )
    return (
        "<h2>Is it really so? The pattern, measured</h2>"
        "<p>Section 4.2 of the paper describes what its authors saw: with the voice neuron "
        "maximized, more harmonic sound, less energy in the lowest bands, fewer transients such as "
        "drum hits; the reverse when minimized. Each of the three is measured here on every "
        "example of the best configuration, not just on four, and on the real excerpts with the "
        "lowest and highest responses.</p>"
        + figure("concept", caption, f"Effect sizes. {spoken}.")
        + table(
            "<b>The three observations of Section 4.2 as effect sizes</b> (Hedges' g; intervals "
            "by bootstrap). Harmonic energy: share of energy in horizontal ridges. Low-band "
            "energy: below 100 Hz, relative to all. Transients: rise of the level over all bands "
            "in a second. All values of all examples: "
            f'<a href="{MEASURES_NAME}">{MEASURES_NAME}</a>.',
            header,
            rows,
            words=(1, 6, 7),
        )
    )


def selection(content: ReportContent) -> str:
    """Figure 2, Table 5, Figure 3: how the configuration was chosen."""
    verb, word = opposite(content)
    compared = content.compared_responses
    notes = "".join(f'<p class="note">{escape(text)}</p>' for text in content.warnings)
    density = (
        "<b>Figure 2. What is compared.</b> How often each response occurs: in all "
        f"{len(content.real_responses)} real excerpts (grey), in the {len(compared)} {word} of "
        "them (black: what good examples should look like to the neuron), and in the generated "
        "sets. Each mark below is one excerpt. A set that lies far beyond the black curve responds "
        "more than anything real: the search has left what is realistic. A set between grey and "
        "black has not gone far enough."
    )
    spoken = "; ".join(
        f"{one.mark}: mean {number(one.responses.mean())}" for one in content.marked()
    )
    curve = (
        "<b>The search, step by step.</b> Each thin line is one example's response, the thick one "
        "their median; the grey band is where the real ones lie (mean and standard deviation). "
        "A good setting ends in the band."
    )
    examples = (
        "<b>Figure 3. Two sounds under the best, median and worst setting.</b> If the ranking "
        "means what it should, sounds get less natural from left to right."
    )
    bars = (
        "<b>All configurations, the best on top.</b> The point is the distance, the line its "
        "bootstrap interval. Where lines overlap a lot, the order could have come out "
        "differently."
    )
    best = content.ranking[0]
    return (
        "<h2>How the settings were chosen</h2>"
        "<p>The search has three settings: its step size (learning rate l<sub>r</sub>), how "
        "strongly it is held to likely latents (prior weight λ) and its number of steps "
        f"N<sub>t</sub>. All {len(content.ranking)} combinations were tried, each from the same "
        f"{len(content.start)} random latents. The winner is the one whose responses are most "
        f"like those of the {len(compared)} real excerpts with the {word} responses, in mean and "
        "in spread, by the Fréchet distance (eq. 3; 0 would be equal)"
        f"{_compared_layer(content)}.</p>" + notes
        + figure("figure_2", density, f"Densities of responses. {spoken}.")
        + _table_5(content)
        + figure("ranking", bars, f"Distances from {number(best.distance)} for the best to "
                 f"{number(content.ranking[-1].distance)} for the worst.")
        + figure("figure_3", examples, f"Spectrograms of two examples. {spoken}.", scales=True)
        + figure("curves", curve, f"Responses over the steps to {verb} the response. {spoken}.")
    )  # fmt: skip


def _compared_layer(content: ReportContent) -> str:
    """What the distance is taken of, where that is not the response."""
    if not content.distance_layer:
        return ""
    return (
        " in its multivariate form: not the response itself is compared, but all units of the "
        f"layer <code>{escape(content.distance_layer)}</code> at once"
    )


def _table_5(content: ReportContent) -> str:
    def cells(row: RankingRow) -> list[str]:
        """The texts of a configuration's row, in the order of the header."""
        return [
            str(row.rank) + (f' <span class="tag">{row.mark}</span>' if row.mark else ""),
            f"{row.learning_rate:g}",
            f"{row.prior_weight:g}",
            str(row.num_steps),
            number(row.distance, 3),
            f"[{number(row.distance_low)}, {number(row.distance_high)}]",
            percent(row.first_share),
            number(row.mean),
            number(row.variance),
        ]

    rows = [("marked" if row.mark else "", cells(row)) for row in content.ranking]
    for name, mark in (("C1", "best"), ("C2", "median"), ("C3", "worst")):
        rate, weight, steps, distance = paper.TABLE_5[mark]
        values = [f"{name} ({mark}), the paper", f"{rate:g}", f"{weight:g}", str(steps)]
        rows.append(("of-paper", [*values, number(distance, 3), *[NO_VALUE] * 4]))
    compared = content.compared_responses
    header = ["rank", "l<sub>r</sub>", "λ", "N<sub>t</sub>", "distance", "interval",
              "comes first", "mean", "variance"]  # fmt: skip
    return table(
        "<b>Table 5. All configurations.</b> Mean and variance are of the generated responses; "
        f"the real ones have mean {number(compared.mean())} and variance "
        f"{number(compared.var(ddof=1) if len(compared) > 1 else 0.0)}. <i>Interval</i> and "
        "<i>comes first</i> are from the bootstrap: how the distance, and the first place, would "
        "vary with other examples.",
        header,
        rows,
    )


def realism(content: ReportContent) -> str:
    """Measures of realism beside the paper's metric."""
    if not content.realism:
        return ""
    found = [
        f"{REALISM_MEASURES[name]}: {value:+.2f}".replace("-", MINUS)
        for name, value in content.correlations.items()
    ]
    expected = {"critic_score": "negative", "nearest_distance": "positive"}
    correlations = "".join(
        f"<li><b>{text}</b> ({expected[name]}, if the two agree)</li>"
        for name, text in zip(content.correlations, found, strict=True)
    )
    if correlations:
        correlations = (
            "<p>Rank correlation with the distance over the configurations "
            f"({MINUS}1 to 1):</p>"
            f"<ul>{correlations}</ul>"
        )
    rows = []
    for row in content.realism:
        tag = f' <span class="tag">{row.mark}</span>' if row.mark else ""
        values = (row.distance, row.critic_score, row.nearest_distance)
        cells = [escape(row.name) + tag, *(number(value, 3) for value in values)]
        rows.append(("marked" if row.mark else "of-paper" if row.distance is None else "", cells))
    spoken = "; ".join(found) or "too few configurations for a rank correlation"
    return (
        "<h2>Does the ranking mean what it says?</h2>"
        "<p>The ranking looks at nothing but responses. If it finds natural sounds, measures that "
        "never see the response should agree: the score of a critic that was trained to tell real "
        f"music from a generator's{_name_of(content, 'critic_score')} should fall as the distance "
        "grows, and how far an example lies from the nearest real excerpt in a late layer of the "
        f"classifier{_name_of(content, 'nearest_distance')} should rise. They need not agree "
        "everywhere: a search that hardly moved leaves a sound as natural as it was, with a "
        "response that is too low.</p>"
        + correlations
        + figure(
            "realism",
            "<b>Realism over the distance.</b> Each point is a configuration; the dashed line is "
            "where real excerpts lie.",
            f"Realism of the configurations over their distance. {spoken}.",
        )
        + "<details><summary>All values</summary>"
        + table(
            "<b>Realism of every configuration</b>, by rank.",
            ["rank", "distance", "critic's score", "nearest real excerpt"],
            rows,
        )
        + "</details>"
    )


def _name_of(content: ReportContent, measure: str) -> str:
    """What measured the realism, in brackets."""
    name = content.measured_by.get(measure)
    return f" (<code>{escape(name)}</code>)" if name else ""


def real_excerpts(content: ReportContent, sounds: Sounds, how_made: str = "") -> str:
    """The real excerpts with the highest and lowest responses."""
    return (
        "<h2>What it listens to in real recordings</h2>"
        "<p>The excerpts of the data set to which the neuron responds most, and least. They are "
        "resynthesised from the same kind of spectrogram as the generated sounds, so that both "
        "can be compared by ear.</p>"
        + round_trip(sounds, [content.highest, content.lowest], how_made)
        + strip(content.highest, sounds)
        + strip(content.lowest, sounds)
    )


def round_trip(sounds: Sounds, sets: Sequence[ExampleSet], how_made: str) -> str:
    """How sounds were made, and how far they are from the spectrograms that they were made of."""
    keys = {one.key for one in sets}
    errors = [
        sound.error_db
        for (key, _), sound in sounds.items()
        if key in keys and sound.error_db is not None
    ]
    if not errors:
        return f"<p>{escape(how_made)}</p>" if how_made else ""
    return (
        f"<p>{escape(how_made)} Analysed again, the sounds of these {len(errors)} excerpts differ "
        f"from the spectrograms that they were made of by <b>{number(sum(errors) / len(errors))} dB"
        f"</b> in the mean over all cells ({number(min(errors))} to {number(max(errors))} dB an "
        "excerpt; cells more than 60 dB below the loudest one count as 60 dB below).</p>"
    )


def strip(one: ExampleSet, sounds: Sounds, wrap: bool = False) -> str:
    """Cards of real excerpts in a row that scrolls sideways; or, with ``wrap``, in many rows."""
    shown = "".join(_real_card(one, index, sounds) for index in range(len(one)))
    title = escape(one.title)
    options = (
        f'class="cards small" aria-label="{title}"'
        if wrap
        else f'class="strip" tabindex="0" aria-label="{title}, scrolls sideways"'
    )
    return f"<h3>{title}</h3><ul {options}>{shown}</ul>"


def _real_card(one: ExampleSet, index: int, sounds: Sounds) -> str:
    label = one.labels[index]
    response = number(one.responses[index])
    shown = [("response", response)]
    if one.probabilities is not None:
        shown.append(("probability", number(one.probabilities[index], 3)))
    alt = f"Spectrogram of {label}, response {response}"
    return (
        f'<li class="card"><h4>{escape(label)}</h4>{spectrogram(one, index, alt)}{facts(shown)}'
        f'<p class="plays">{play(one, index, sounds, label, "play")}</p></li>\n'
    )


def classifier_quality(content: ReportContent) -> str:
    """Table 3, where the classifier was evaluated."""
    if content.detection is None:
        return ""
    names = ("threshold", "precision", "recall", "specificity", "f1", "error")
    rows = [("marked", ["this classifier", *(number(content.detection.get(n), 3) for n in names)])]
    for title, values in paper.TABLE_3.items():
        rows.append(("of-paper", [title, *(number(value, 3) for value in values)]))
    auroc = content.detection.get("auroc")
    extra = f" AUROC of this classifier: {number(auroc, 3)}." if auroc is not None else ""
    return (
        "<h2>How good is the explained classifier?</h2>"
        "<p>An explanation shows what the classifier has learned, right or wrong. A classifier "
        f"that errs often may listen for something else than {escape(content.concept_name)}.</p>"
        + table(
            "<b>Table 3. Frames of the test songs.</b> The paper's rows are on Jamendo's test "
            f"songs.{extra}",
            ["", "threshold", "precision", "recall", "specificity", "F1", "error"],
            rows,
        )
    )


def provenance(facts_of_runs: Mapping[str, object]) -> str:
    """How all this was made."""
    text = json.dumps(facts_of_runs, indent=2, ensure_ascii=False, default=_plain)
    return (
        "<h2>How this was made</h2><details><summary>Settings, versions and inputs of every run"
        f"</summary><pre>{escape(text)}</pre></details>"
    )


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
