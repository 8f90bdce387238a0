"""Faults on purpose, from a seed, while facts come in; and an oracle that says whether anything was lost or doubled."""
