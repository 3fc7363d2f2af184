"""What is done to processes, servers and calls."""
