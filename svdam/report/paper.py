"""Numbers printed in the paper, to compare with ours."""

TABLE_3 = {
    "Schlüter & Grill (2015), as reported in the paper": (0.47, 0.901, 0.926, 0.912, 0.913, 0.082),
    "the paper's replication": (0.50, 0.896, 0.925, 0.908, 0.910, 0.084),
}
"""Threshold, precision, recall, specificity, F1 and frame error on the test songs of Jamendo."""

TABLE_5 = {
    "best": (0.01, 0.001, 100, 1.654),
    "median": (0.01, 0.01, 500, 35.880),
    "worst": (0.1, 0.001, 1000, 1557.733),
}
"""Learning rate, prior weight, steps and distance."""

TABLE_6 = {
    "start": (-0.5, -0.94, 1.55, -3.47),
    "maximized": (5.83, 5.52, 6.1, 2.96),
    "minimized": (-6.23, -7.21, -6.45, -6.36),
}
"""Responses of the four latents of Figure 4."""
