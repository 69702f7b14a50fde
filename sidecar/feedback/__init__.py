"""The way back, in order: intake, attribution."""
