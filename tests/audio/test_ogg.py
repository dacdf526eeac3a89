"""Serial numbers of Ogg streams, against what libogg writes and reads."""

import io

import numpy as np
import soundfile

from svdam.audio.ogg import with_serial_number


def vorbis(samples):
    stream = io.BytesIO()
    soundfile.write(stream, samples, 22050, format="OGG", subtype="VORBIS")
    return stream.getvalue()


def test_only_the_number_changes():
    samples = 0.1 * np.random.RandomState(0).normal(size=(90_000, 2))
    first, second = vorbis(samples), vorbis(samples)
    assert first != second, "libsndfile draws a number for each"
    assert with_serial_number(first) == with_serial_number(second)
    own = int.from_bytes(first[14:18], "little")
    assert with_serial_number(with_serial_number(first), own) == first  # With libogg's checksums.


def test_it_decodes_to_the_same_sound():
    """libogg leaves out pages whose checksum is wrong."""
    content = vorbis(0.1 * np.random.RandomState(1).normal(size=90_000))
    expected, _ = soundfile.read(io.BytesIO(content))
    found, _ = soundfile.read(io.BytesIO(with_serial_number(content, 7)))
    np.testing.assert_array_equal(found, expected)
