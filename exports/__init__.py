"""Immutable, checksummed releases: build, split, write, verify."""
