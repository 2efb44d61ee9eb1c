"""A stand-in for trex.stl, for tests: see api.py."""
