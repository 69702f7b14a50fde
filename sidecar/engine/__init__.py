"""The embedded optimiser: what serves next, what is tried next, what may go live."""
