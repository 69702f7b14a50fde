"""Where state lives. Read `base.py` first; every store passes `tests/contract/test_stores.py`."""
