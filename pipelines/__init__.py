"""Points of a loyalty programme, as a stream."""

import warnings

from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]

warnings.filterwarnings("ignore", category=AuthlibDeprecationWarning)
"""The registry client's OAuth library warns of its own future at every start; here nothing can be done about it."""
