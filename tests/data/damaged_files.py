"""A corpus of damaged, unusual and hopeless audio files, made from generated sound.

    python tests/data/damaged_files.py FOLDER

Each file's name starts with what must become of it: ``read`` (every sound decoder reads it),
``refuse`` (there is nothing in it to read), or ``any`` (damage that a decoder may or may not get
over: whatever happens, the job goes on, and a refusal gives its reason).
"""

import functools
import io
import struct
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE, SECS = 22050, 2.4
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
}
_RNG = np.random.RandomState
_WAV_FIELDS = {"format": (20, "<H"), "channels": (22, "<H"), "rate": (24, "<I"), "bits": (34, "<H")}


def sound(rate: int = RATE, channels: int = 1, secs: float = SECS) -> np.ndarray:
    """(samples, channels): chords with a beat, a little noise."""
    time_secs = np.arange(round(rate * secs))[:, None] / rate
    pitch_hz = 220 * 1.25 ** np.arange(channels)
    tone = np.sin(2 * np.pi * pitch_hz * time_secs) * np.exp(-3 * (time_secs % 0.5))
    return 0.4 * tone + 0.02 * _RNG(0).normal(size=tone.shape)


def encoded(suffix: str, samples: np.ndarray | None = None, rate=RATE, subtype=None) -> bytes:
    """A sound as the bytes of a file."""
    format_name, usual = FORMATS[suffix]
    stream = io.BytesIO()
    rate = 24000 if suffix == "opus" and rate == RATE else rate  # One of Opus' five.
    samples = sound(rate) if samples is None else samples
    soundfile.write(stream, samples, rate, subtype or usual, format=format_name)
    return stream.getvalue()


@functools.cache
def all_files() -> dict[str, bytes]:
    """Contents by file name: more than 300."""
    files: dict[str, bytes] = {}
    for suffix in FORMATS:
        whole = encoded(suffix)
        files[f"read-whole.{suffix}"] = whole
        files |= _hopeless(suffix, whole)
        files |= _cut(suffix, whole)
        files |= _flipped(suffix, whole)
        for other in FORMATS:
            if other != suffix:
                files[f"read-{suffix}-named.{other}"] = whole
    return files | _unusual() | _without_length() | _patched_headers() | _tagged()


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Writes files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _hopeless(suffix: str, whole: bytes) -> dict[str, bytes]:
    noise = _RNG(1).bytes(20_000)
    return {
        f"refuse-empty.{suffix}": b"",
        f"refuse-one-byte.{suffix}": whole[:1],
        f"refuse-magic-only.{suffix}": whole[:4],
        f"refuse-text.{suffix}": b"This is a page, and no sound.\n" * 300,
        f"refuse-zeros.{suffix}": bytes(20_000),
        f"any-random.{suffix}": noise,
        f"any-magic-and-random.{suffix}": whole[:16] + noise,
        f"any-without-its-start.{suffix}": whole[1000:],
    }


def _cut(suffix: str, whole: bytes) -> dict[str, bytes]:
    return {
        f"any-cut-at-{tenth}-tenths.{suffix}": whole[: len(whole) * tenth // 10]
        for tenth in range(1, 10)
    }


def _flipped(suffix: str, whole: bytes) -> dict[str, bytes]:
    files = {}
    for number in range(12):
        header = _with_flips(whole, number, count=1 + number % 3, stop=64)
        files[f"any-header-flips-{number}.{suffix}"] = header
    for number in range(8):
        body = _with_flips(whole, number, count=2 ** (number + 1), start=200)
        files[f"any-body-flips-{2 ** (number + 1)}.{suffix}"] = body
    return files


def _with_flips(content: bytes, seed: int, count: int, start: int = 0, stop: int | None = None):
    rng, changed = _RNG(seed), bytearray(content)
    for place in rng.randint(start, stop or len(content), count):
        changed[place] ^= 1 << rng.randint(8)
    return bytes(changed)


def _unusual() -> dict[str, bytes]:
    """Legal files that are not the usual 16 bits, 44.1 kHz, stereo."""
    files = {}
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM"):
        files[f"read-{subtype.lower()}.wav"] = encoded("wav", subtype=subtype)
    for subtype in ("PCM_S8", "PCM_24"):
        files[f"read-{subtype.lower()}.flac"] = encoded("flac", subtype=subtype)
    for suffix in ("wav", "flac", "ogg"):
        for rate in (8000, 192_000):
            files[f"read-{rate}-hz.{suffix}"] = encoded(suffix, sound(rate), rate)
        files[f"read-6-channels.{suffix}"] = encoded(suffix, sound(channels=6))
    files["read-8000-hz.mp3"] = encoded("mp3", sound(8000), 8000)
    files["read-stereo.mp3"] = encoded("mp3", sound(channels=2))
    files["read-loud.wav"] = encoded("wav", 40 * sound(), subtype="FLOAT")
    files["read-silent.wav"] = encoded("wav", 0 * sound())
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        for place in (0, -1, 30_000):
            samples = sound()
            samples[place] = value
            files[f"refuse-{name}-at-{place}.wav"] = encoded("wav", samples, subtype="FLOAT")
    return files


def _without_length() -> dict[str, bytes]:
    """Whole files that do not say how long they are, or let a decoder guess it wrong."""
    flac = bytearray(encoded("flac"))
    flac[21] &= 0xF0  # The number of samples: 36 bits of STREAMINFO, here unknown, as in a stream.
    flac[22:26] = bytes(4)
    quiet, loud = 0 * sound(), 20 * sound()
    files = {"read-streamed.flac": bytes(flac)}
    for name, parts in {"quiet-loud": (quiet, loud), "loud-quiet": (loud, quiet)}.items():
        counted = variable_mp3(np.concatenate(parts))
        files[f"read-{name}-uncounted.mp3"] = counted.replace(b"Xing", bytes(4), 1)
    return files


def variable_mp3(samples: np.ndarray, rate: int = RATE) -> bytes:
    """An MP3 of variable bit rate."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="MP3", bitrate_mode="VARIABLE")
    return stream.getvalue()


def _patched_headers() -> dict[str, bytes]:
    """WAV headers that say what cannot be, and what is merely wrong."""
    whole = encoded("wav")
    files = {
        "refuse-no-samples.wav": encoded("wav", np.zeros((0, 1))),
        "refuse-no-samples.flac": encoded("flac", np.zeros((0, 1))),
        "refuse-no-data-chunk.wav": whole[:36],
        "refuse-empty-data-chunk.wav": whole[:40] + bytes(4),
        "read-data-chunk-of-0-bytes.wav": whole[:40] + bytes(4) + whole[44:],
        "read-data-chunk-of-4-gb.wav": whole[:40] + b"\xff" * 4 + whole[44:],
        "any-riff-of-4-gb.wav": whole[:4] + b"\xff" * 4 + whole[8:],
        "read-unknown-chunk.wav": whole[:36]
        + b"junk"
        + struct.pack("<I", 9)
        + b"0" * 10
        + whole[36:],
        "read-rubbish-after.flac": encoded("flac") + bytes(1000),
    }
    for field, values in {
        "channels": (0, 3, 1024, 65535),
        "rate": (0, 1, 2**31 - 1, 2**32 - 1),
        "bits": (0, 1, 13, 64),
        "format": (0, 2, 85, 65534),
    }.items():
        place, kind = _WAV_FIELDS[field]
        for value in values:
            fate = "refuse" if (field, value) in _IMPOSSIBLE else "any"
            patched = whole[:place] + struct.pack(kind, value)
            patched += whole[place + struct.calcsize(kind) :]
            files[f"{fate}-{field}-{value}.wav"] = patched
    streaminfo = encoded("flac")
    files["any-rate-0.flac"] = streaminfo[:18] + b"\0\0" + streaminfo[20:]
    files["any-2-to-36-samples.flac"] = streaminfo[:22] + b"\xff" * 4 + streaminfo[26:]
    return files


_IMPOSSIBLE = {("channels", 0), ("rate", 0), ("rate", 2**31 - 1), ("rate", 2**32 - 1)}


def _tagged() -> dict[str, bytes]:
    """Tags before and after the sound, up to megabytes: covers and texts."""
    files = {}
    for suffix in ("mp3", "flac", "wav"):
        whole = encoded(suffix)
        for size in (100, 70_000, 3_000_000):
            files[f"read-id3v2-of-{size}.{suffix}"] = id3v2(size) + whole
        files[f"read-id3v1.{suffix}"] = whole + b"TAG" + bytes(125)
    files["read-two-id3v2.mp3"] = id3v2(5000) + id3v2(70_000) + encoded("mp3")
    files["any-id3v2-beyond-the-end.mp3"] = id3v2(5000)[:10] + encoded("mp3")[:4000]
    files["refuse-id3v2-alone.mp3"] = id3v2(70_000)
    return files


def id3v2(size: int) -> bytes:
    """A tag with a picture of ``size`` bytes, some of which look like the start of a frame."""
    picture = b"\0image/png\0\3\0" + (b"\xff\xfb\x90\x64" + bytes(60)) * (size // 64)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    septets = [len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0)]
    return b"ID3\3\0\0" + bytes(septets) + frame


if __name__ == "__main__":
    write_files(Path(sys.argv[1]), all_files())
