"""The use cases, one a file. They speak to the world through ports only."""
