"""The same commands and seeds give the same bits, in processes of their own."""

import pytest
import small_world


@pytest.mark.parametrize("stage", small_world.STAGES)
def test_every_stage_gives_the_same_bits(worlds, stage):
    found, expected = (small_world.contents(world.folder / "runs" / stage) for world in worlds)
    assert {"config.json", "complete.json", "flags.cfg"} < expected.keys()
    different = [name for name in expected if found.get(name) != expected[name]]
    assert not different and found.keys() == expected.keys()


def test_what_is_compared_are_the_results(worlds):
    """The comparison would see a changed bit in what matters."""
    names = {
        "data": {"manifest.json", "train-00000-of-00001.tfrecord"},
        "classifier": {"classifier.keras", "classifier_last.keras"},
        "evaluation": {"evaluation.json", "predictions.npz"},
        "gan": {"generator.keras", "critic.keras"},
        "responses": {"responses.h5", "index.html"},
        "grid": {"results.h5", "results.csv"},
        "selection": {"ranking.csv", "best.cfg"},
        "report": {"index.html", "figures/figure_4.png", "figures/figure_4.pdf"},
    }
    for stage, expected in names.items():
        found = small_world.contents(worlds[0].folder / "runs" / stage)
        assert expected <= found.keys() and all(len(found[name]) > 50 for name in expected)
    report = small_world.contents(worlds[0].folder / "runs/report")
    assert any(name.endswith(".wav") for name in report)
