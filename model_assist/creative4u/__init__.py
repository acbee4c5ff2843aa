"""Creative4U: a vision-language model that compares two images of an item, with its reasons."""
