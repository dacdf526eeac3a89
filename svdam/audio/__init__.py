"""Sound in and out: decoding, the log-mel front end, its inversion, and the built-in corpus."""
