"""The commands of the command line, by what they need: what one of them does not need is not imported."""
