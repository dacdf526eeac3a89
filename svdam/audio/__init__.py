"""Sound in and out: decoding, front ends, log-mel spectrograms and their inversion."""
