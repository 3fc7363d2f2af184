"""Every peer as a user writes it: `open_producer`, and what the library's own command line asks for."""
