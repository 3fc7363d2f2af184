"""`python -m havoc`."""

from havoc.cli import main

main()
