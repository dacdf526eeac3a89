"""Figures and the HTML page. Needs no TensorFlow."""
