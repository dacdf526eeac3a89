"""What can be chosen for an optimization, by name; the defaults are the paper's. No TensorFlow."""

PRIORS = ("paper", "released_code", "none")
DIRECTIONS = ("max", "min")
KEEP = ("last", "best")
OPTIMIZERS = ("adam", "gradient_ascent")
BETA_1 = 0.99
"""Adam's beta 1, Section 3.4."""
PRIOR_WEIGHTS = (0.3, 0.03, 0.003)
"""Lambda of the path search: about where they begin to matter, for gradients of several sizes."""
