"""What is broken, one kind of fault a module."""
