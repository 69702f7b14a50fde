"""Whether a webhook comes from its source: one way of signing per file, each pure."""
