"""Command line, desk and the use cases that cross packages."""
