"""Training loops for the classifier and for the GAN."""
