"""The page of real excerpts: what a neuron responds to most, and least, in a data set."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np

from svdam.core.files import atomic_write
from svdam.report import sections
from svdam.report.content import ExampleSet, SpectrogramAxes, realistic_range
from svdam.report.figures import real_density_figure
from svdam.report.files import Synthesis, save_figure, save_sets
from svdam.report.markup import axes_symbol, figure, number
from svdam.report.page import fill_page


def write_real_page(
    folder: Path,
    highest: ExampleSet,
    lowest: ExampleSet,
    responses: np.ndarray,
    response: str,
    axes: SpectrogramAxes,
    synthesis: Synthesis,
    provenance: Mapping[str, object],
) -> Path:
    """Writes ``index.html`` with images and sounds of the most extreme real excerpts.

    Args:
        folder: Where to.
        highest: The excerpts with the highest responses, the highest first.
        lowest: Those with the lowest, the lowest first.
        responses: (M,) responses of all excerpts.
        response: Its name, as ``logit``.
        axes: Of the spectrograms.
        synthesis: How sounds are made.
        provenance: JSON-ready facts about how the responses were made.

    Returns:
        The page.
    """
    figure_name = "densities"
    drawn = real_density_figure(responses, highest.responses, lowest.responses, response)
    save_figure(drawn, folder / "figures", figure_name)
    sets = [highest, lowest]
    sounds = save_sets(folder, sets, realistic_range(*sets), synthesis)
    made = sections.round_trip(sounds, sets, synthesis.description)
    caption = (
        "<b>How strong the responses are.</b> How often each response occurs in all excerpts "
        "(grey), and the most extreme ones (marks at the bottom)."
    )
    spoken = f"Density of {len(responses)} responses with mean {number(np.mean(responses))}."
    text = fill_page(
        kicker="Responses of real recordings",
        title=f"What the neuron responds to in real recordings: {response}",
        heading=f"What it responds to in real recordings <small>({escape(response)})</small>",
        lead=f"The response <code>{escape(response)}</code> was measured on {len(responses)} "
        "excerpts of real recordings. Here are those with the highest and the lowest responses, "
        "the most extreme first. What the first have in common, and the others lack, is what "
        "drives the response up.",
        tiles=[
            (number(np.mean(responses)), f"mean response of all {len(responses)} excerpts"),
            (number(highest.responses.mean()), f"mean of the {len(highest)} highest"),
            (number(lowest.responses.mean()), f"mean of the {len(lowest)} lowest"),
        ],
        parts=[
            ("highest", "Highest", sections.strip(highest, sounds, wrap=True)),
            ("lowest", "Lowest", sections.strip(lowest, sounds, wrap=True)),
            ("densities", "All responses", figure(figure_name, caption, spoken)),
            ("sounds", "Sounds", made and f"<h2>The sounds</h2>{made}"),
            ("made", "How it was made", sections.provenance(provenance)),
        ],
        axes_symbol=axes_symbol(axes, highest.log_mels.shape[1]),
        sounds=sounds,
    )
    page = folder / "index.html"
    with atomic_write(page) as stream:
        stream.write(text)
    return page
