"""What runs wrote, and what is known about models. Needs no TensorFlow."""
