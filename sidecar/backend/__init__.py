"""The seam between the sidecar and the optimiser. Read `base.py` first."""
