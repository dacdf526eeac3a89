"""Takes the README's picture and sounds from a report of the demo.

    make demo && python tools/readme_media.py

Figure 4 becomes docs/images/figure4.png. The sounds of its first latent (at the start, maximized,
minimized) become docs/sounds/*.mp3.
"""

import pathlib
import shutil

import soundfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORT = ROOT / "runs/demo/report"
SETS = {"start": ("start",), "maximized": ("maximized", "rank001"), "minimized": ("minimized",)}
"""Names of a sound, and of the set in the report: the best of the grid, where that is the same."""


def main() -> None:
    """Copies the figure and encodes the sounds."""
    shutil.copyfile(REPORT / "figures/figure_4.png", ROOT / "docs/images/figure4.png")
    for name, keys in SETS.items():
        candidates = [REPORT / f"sounds/{key}-0000.wav" for key in keys]
        samples, rate = soundfile.read(next(path for path in candidates if path.exists()))
        target = ROOT / f"docs/sounds/{name}.mp3"
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
