"""Synthetic creatives: a world with planted click rates, its drawings and its exposure logs."""
