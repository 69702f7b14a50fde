"""A provider and users on loopback, with known truth, for the demo, the tests and the bench."""
