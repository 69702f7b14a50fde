"""Webhooks of other products, read as feedback: one file per source, each a pure function."""
