"""Measures: detection scores (Table 3) and the Frechet distance (eq. 3). NumPy and SciPy only."""
