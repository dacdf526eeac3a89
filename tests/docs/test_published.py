"""The commands of docs/published.md, in miniature: a tagger's page, with tags by their names."""

import re
import shlex
from pathlib import Path

import convert_musicnn
import pytest
from convert_musicnn import MusicnnSettings

from svdam.stages.explain_classifier import ExplainSettings, explain_classifier
from tests.models.conversion.test_musicnn import random_variables, save

PAGE = Path(__file__).parents[2] / "docs/published.md"
SMALL = {"seeds": "0-1", "top_n": 2, "max_steps": 1, "excerpt_spacing": 40, "num_sounds": 1}


def flags_of(command):
    """The flags of the page's line that runs a command, by name."""
    (line,) = re.findall(rf"^python .*{command}.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    return dict(word[2:].split("=", 1) for word in shlex.split(line) if word.startswith("--"))


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """The tagger that the page converts, of random weights."""
    folder = tmp_path_factory.mktemp("tagger")
    model = flags_of("convert_musicnn")["model"]
    save(random_variables(model.split("_")[1]), folder / model)
    output = folder / "tagger.keras"
    convert_musicnn.convert_musicnn(
        MusicnnSettings(model=model, input=str(folder), output=str(output))
    )
    return str(output)


@pytest.mark.slow
@pytest.mark.parametrize("response", [None, "tags:*"])
def test_a_tagger_is_explained_by_the_names_of_its_tags(tagger, records_folder, tmp_path, response):
    flags = flags_of("svdam.explain_classifier")
    assert flags["response"] == "tags:guitar,tags:female vocal"
    units = explain_classifier(
        ExplainSettings(
            classifier=tagger,
            generator=flags["generator"],
            records=str(records_folder),
            response=response or flags["response"],
            output=str(tmp_path / "atlas"),
            directions=("max",),
            prior_weights=(0.01,),
            **SMALL,
        )
    )
    assert {"tags:guitar", "tags:female vocal"} <= set(units.names)
    assert len(units) == (50 if response else 2)
    page = (tmp_path / "atlas/index.html").read_text("utf-8")
    for name in ("tags:guitar", "tags:female vocal"):
        assert f">{name}</a>" in page
    assert "bridge from ismir2015 to musicnn" in page
