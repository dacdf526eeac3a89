"""The built-in corpus: everything that renders songs, and its cache."""
