"""Offline jobs: optimise a prompt against a task app, or score one on given seeds."""
