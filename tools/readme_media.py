"""Takes the README's pictures and sounds from runs: one on real music, and the demo.

    python -m svdam.explain_classifier --flagfile=flags/music/explain.cfg
    make demo && SVDAM_RUNS=runs/demo make test-browser && python tools/readme_media.py

Some examples of the first become docs/images/figure4.png, the sounds of its first latent (at the
start, maximized, minimized) docs/sounds/*.mp3. The cards of the demo's page in a browser become
docs/images/report.png.
"""

import pathlib

import soundfile
from PIL import Image

import svdam
from svdam.core.config import FRONT_END
from svdam.core.drawing import SpectrogramAxes, spectrogram_grid
from svdam.results.explanations import read_units

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXPLAINED = ROOT / "runs/music/explain"
SOUNDS = {"start": "start", "maximized": "00000-max", "minimized": "00000-min"}
"""Names of a sound, and of the set of examples that it is from."""
COLUMNS = 4


def main() -> None:
    """Draws the examples, packs the screenshot and encodes the sounds."""
    units = read_units(EXPLAINED)
    highest, lowest = svdam.read_explanations(EXPLAINED)
    sets = {
        "before": (units.start_examples, units.start_responses[0]),
        "maximized": (highest.examples, highest.responses),
        "minimized": (lowest.examples, lowest.responses),
    }
    rows = [(name, one[:COLUMNS, ..., 0], heard[:COLUMNS]) for name, (one, heard) in sets.items()]
    columns = [f"latent {seed}" for seed in units.seeds[:COLUMNS]]
    figure = spectrogram_grid(rows, SpectrogramAxes.of(FRONT_END), columns)
    figure.savefig(ROOT / "docs/images/figure4.png", dpi=150, facecolor="white")
    screenshot = Image.open(ROOT / "build/browser/report-cards.png").convert("RGB")
    screenshot.quantize(256).save(ROOT / "docs/images/report.png", optimize=True)
    for name, key in SOUNDS.items():
        samples, rate = soundfile.read(EXPLAINED / f"sounds/{key}-0000.wav")
        target = ROOT / f"docs/sounds/{name}.mp3"
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
