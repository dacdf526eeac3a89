"""Takes pictures and sounds for the README and docs/published.md from runs, and from the demo.

    python -m svdam.explain_classifier --flagfile=flags/music/explain.cfg
    make demo && SVDAM_RUNS=runs/demo make test-browser && python tools/readme_media.py

Some examples of the first become docs/images/figure4.png, the sounds of its first latent (at the
start, maximized, minimized) docs/sounds/*.mp3. The cards of the demo's page in a browser become
docs/images/report.png. If there is a run of docs/published.md, runs/tags, some of its examples
become docs/images/tags.png.
"""

import pathlib

import soundfile
from PIL import Image

import svdam
from svdam.core.config import FRONT_END
from svdam.core.drawing import SpectrogramAxes, spectrogram_grid
from svdam.results.explanations import read_units

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXPLAINED, TAGS = ROOT / "runs/music/explain", ROOT / "runs/tags"
SOUNDS = {"start": "start", "maximized": "00000-max", "minimized": "00000-min"}
"""Names of a sound, and of the set of examples that it is from."""
DIRECTIONS = {"max": "maximized", "min": "minimized"}
COLUMNS = 4


def draw_examples(run: pathlib.Path, name: str) -> None:
    """Draws the first latents before the search and, for each unit, after it."""
    units = read_units(run)
    rows = [("before", units.start_examples, units.start_responses[0])]
    for found in svdam.read_explanations(run):
        title = DIRECTIONS[found.direction]
        if len(units) > 1:
            title = f"{found.unit.removeprefix('tags:')},\n{title}"
        rows.append((title, found.examples, found.responses))
    shown = [(title, one[:COLUMNS, ..., 0], heard[:COLUMNS]) for title, one, heard in rows]
    columns = [f"latent {seed}" for seed in units.seeds[:COLUMNS]]
    figure = spectrogram_grid(shown, SpectrogramAxes.of(FRONT_END), columns)
    figure.savefig(ROOT / f"docs/images/{name}.png", dpi=150, facecolor="white")


def main() -> None:
    """Draws the examples, packs the screenshot and encodes the sounds."""
    draw_examples(EXPLAINED, "figure4")
    if TAGS.exists():
        draw_examples(TAGS, "tags")
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
