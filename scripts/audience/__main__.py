"""`python -m audience`."""

from audience.cli import main

main()
