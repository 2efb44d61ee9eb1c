"""A stand-in for TRex's Python packages, for tests: see stl/api.py."""
