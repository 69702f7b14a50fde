"""The request path, in the order it happens."""
