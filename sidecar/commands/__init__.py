"""What each command does; `sidecar.cli` only parses and dispatches."""
