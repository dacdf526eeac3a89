"""Activation maximization: responses, priors, the optimisation and the grid."""
