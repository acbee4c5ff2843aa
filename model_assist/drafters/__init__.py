"""Drafters: machines that propose a chain for a pair, without ever seeing its CTR."""
