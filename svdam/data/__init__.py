"""What is stored, and cut: log-mel records, and the excerpts of training and search."""
