"""The networks of Tables 1, 2 and 4 as Keras models, and loading models from files."""
