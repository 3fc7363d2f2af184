"""`python -m posting`."""

from posting.cli import main

main()
