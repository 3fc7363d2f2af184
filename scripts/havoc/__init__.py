"""Breaks the whole system under accepted jobs, as a seed has it, and audits what is on record then."""
