"""Data sets, log-mel records and the excerpts that are cut from them."""
