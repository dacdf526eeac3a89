"""Activation maximization: responses, priors, optimizers, and the search itself."""
