"""Networks of other programs as Keras models, and back."""
