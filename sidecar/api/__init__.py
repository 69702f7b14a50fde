"""The HTTP surface: routes, thin handlers, error dialects."""
