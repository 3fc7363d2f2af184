"""What every test may ask for: the real servers of `servers.py`."""

pytest_plugins = ["servers", "house"]
