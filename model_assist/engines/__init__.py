"""Engines: what computes the answers of a comparative model, here or on a server."""
