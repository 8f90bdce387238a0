"""How many random histories: a few hundred a law in every run, thousands with `--hypothesis-profile=thousands`, and
for each mutant of the domain the same few."""

from hypothesis import settings

settings.register_profile("laws", max_examples=400, deadline=None)
settings.register_profile("thousands", max_examples=10_000, deadline=None)
settings.register_profile("mutants", max_examples=4, deadline=None, derandomize=True, database=None)
settings.load_profile("laws")
