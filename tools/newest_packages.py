"""Prints what an environment without tensorflow-io needs, in the newest versions that install.

    pip install --upgrade $(python tools/newest_packages.py)

setup.py keeps TensorFlow where tensorflow-io's native code loads (2.16 and 2.17). Everything else
also runs on newer versions; this is the list of setup.py without tensorflow-io, and without limits
on TensorFlow, its TensorBoard and NumPy. Run svdam from the checkout there, not installed.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
FREE = ("tensorflow", "tensorboard", "numpy")


def newest_packages() -> list[str]:
    """Requirements for pip, quoted where a shell needs it."""
    text = (ROOT / "setup.py").read_text("utf-8")
    found = []
    for name, versions in re.findall(
        r'^ +"([\w-]+(?:\[[\w,]+\])?)([<>=][^"]*)",$', text, re.MULTILINE
    ):
        if name != "tensorflow-io":
            found.append(f"'{name}'" if name in FREE else f"'{name}{versions}'")
    return found


if __name__ == "__main__":
    print(" ".join(newest_packages()))
