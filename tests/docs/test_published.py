"""The commands of docs/published.md, in miniature: a tagger's page, with tags by their names."""

import re
import shlex
from pathlib import Path

import confusion
import convert_musicnn
import numpy as np
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
def test_a_tagger_is_explained_by_the_names_of_its_tags(
    tagger, records_folder, tmp_path, response, capsys
):
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
    capsys.readouterr()
    confusion.main([str(tmp_path / "atlas")])
    rows = [line.strip("| \n").split(" | ") for line in capsys.readouterr().out.splitlines()]
    names = [name.split(":")[1] for name in units.names]
    assert [row[0] for row in rows[2:]] == names
    assert rows[0][1:-2] == names
    for row in rows[2:]:
        own = float(row[1 + names.index(row[0])])
        most = float(row[-1].rsplit("(", 1)[1].rstrip(")"))
        assert own <= most
        if row[-2] == "1":
            assert own == most and row[-1].startswith(row[0])


def test_a_rise_is_counted_in_standard_deviations_over_real_excerpts():
    real = np.array([[0.0, 1, 5], [2, 3, 5], [4, 5, 5]])  # Standard deviations 2, 2 and 0.
    start = np.array([[1.0, 1, 1], [3, 3, 3]])
    maximized = [np.array([[6.0, 2, 9], [6, 4, 9]]), np.array([[2.0, 0, 9]])]
    raised = confusion.rises(maximized, start, real)
    np.testing.assert_allclose(raised, [[2, 0.5, 0], [0, -1, 0]])
    np.testing.assert_array_equal(confusion.places(raised, [0, 1]), [1, 3])
    np.testing.assert_array_equal(confusion.places(raised, [2, 2]), [3, 1])
