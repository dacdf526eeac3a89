"""Installs svdam. `pip install -c constraints.txt .` gives the set of versions that was tested."""

import pathlib
import re
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "svdam/__init__.py").read_text("utf-8"))[1]

# For s3:// and az://. Its native code loads on TensorFlow 2.16 and 2.17 only, and there is none for
# Python 3.13, so it is an extra: svdam beside a newer TensorFlow leaves that as it is.
OBJECT_STORE_PACKAGES = ["tensorflow-io==0.37.1", "tensorflow<2.18"]
TEST_PACKAGES = [
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "jams>=0.3.4",
    "moto[server,s3]>=5",
    "ruff>=0.6",
    "mypy>=1.15",
    "build>=1.2",
    # docs/tour.ipynb is executed.
    "nbclient>=0.10",
    "ipykernel>=6.29",
]
DOCS_PACKAGES = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.5",
    "mkdocstrings[python]>=0.27",
]
# What tools/benchmarks compares with, besides librosa, which is needed anyway.
BENCH_PACKAGES = ["torch>=2.4", "tf-keras-vis>=0.8.7"]


class BuildWithFlagsAndCheckpoints(build_py):
    """Puts flagfiles and trained models into the package, where svdam.core.files finds them."""

    def run(self):
        """Builds; an editable installation reads the checkout itself."""
        super().run()
        if not self.editable_mode:
            for name in ("flags", "checkpoints"):
                target = pathlib.Path(self.build_lib, "svdam", name)
                shutil.copytree(ROOT / name, target, dirs_exist_ok=True)


setup(
    name="svdam",
    version=VERSION,
    description="Explains audio classifiers by sounds: activation maximization with a GAN as prior",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["svdam", "svdam.*"]),
    package_data={"svdam": ["__init__.pyi", "py.typed"], "svdam.report": ["templates/*"]},
    cmdclass={"build_py": BuildWithFlagsAndCheckpoints},
    entry_points={"console_scripts": ["svdam = svdam.__main__:main"]},
    install_requires=[
        "tensorflow>=2.16.2,<3",
        "keras>=3.6,<4",
        "numpy>=1.26,<2.5",
        "scipy>=1.12",
        "librosa>=0.10.2,<0.12",
        "soundfile>=0.13",
        "soxr>=0.5",
        "absl-py>=2.1",
        "tensorboard>=2.16.2,<3",
        # tensorboard imports pkg_resources, which later versions no longer have.
        "setuptools<82",
        "h5py>=3.11",
        "apache-beam[tfrecord]>=2.60,<3",
        "google-crc32c>=1.5",
        "matplotlib>=3.8",
        "lazy_loader>=0.4",
        "Jinja2>=3.1",
        "tqdm>=4.66",
    ],
    extras_require={
        "jams": ["jams>=0.3.4"],
        "object-stores": OBJECT_STORE_PACKAGES,
        "test": TEST_PACKAGES,
        "docs": DOCS_PACKAGES,
        "bench": BENCH_PACKAGES,
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
