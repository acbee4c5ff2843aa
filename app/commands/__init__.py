"""Use cases, one module per verb; the command line and the pages both call them."""
