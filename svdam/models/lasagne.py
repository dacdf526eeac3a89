"""The converter from Lasagne, under the name by which notebooks know it."""

from svdam.models.conversion.lasagne import load_lasagne_npz

__all__ = ["load_lasagne_npz"]
