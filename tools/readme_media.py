"""Takes the README's pictures and sounds from a report of the demo.

    make demo && SVDAM_RUNS=runs/demo make test-browser && python tools/readme_media.py

Figure 4 becomes docs/images/figure4.png, the page's cards in a browser docs/images/report.png. The
sounds of the first latent (at the start, maximized, minimized) become docs/sounds/*.mp3.
"""

import pathlib
import shutil

import soundfile
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORT = ROOT / "runs/demo/report"
SETS = {"start": ("start",), "maximized": ("maximized", "rank001"), "minimized": ("minimized",)}
"""Names of a sound, and of the set in the report: the best of the grid, where that is the same."""


def main() -> None:
    """Copies the figure, packs the screenshot and encodes the sounds."""
    shutil.copyfile(REPORT / "figures/figure_4.png", ROOT / "docs/images/figure4.png")
    screenshot = Image.open(ROOT / "build/browser/report-cards.png").convert("RGB")
    screenshot.quantize(256).save(ROOT / "docs/images/report.png", optimize=True)
    for name, keys in SETS.items():
        candidates = [REPORT / f"sounds/{key}-0000.wav" for key in keys]
        samples, rate = soundfile.read(next(path for path in candidates if path.exists()))
        target = ROOT / f"docs/sounds/{name}.mp3"
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
