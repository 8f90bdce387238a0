"""How many random histories: a few hundred a law in every run, thousands with `--hypothesis-profile=thousands`."""

from hypothesis import settings

settings.register_profile("laws", max_examples=400, deadline=None)
settings.register_profile("thousands", max_examples=10_000, deadline=None)
settings.load_profile("laws")
