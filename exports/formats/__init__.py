"""Other forms of a finished release, made of its files alone.

They are no part of the release: each can be made again at any time from what its manifest vouches
for. `conversion.py` makes them; every other module here is one form.
"""
