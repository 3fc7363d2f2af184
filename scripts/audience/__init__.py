"""Measures how soon many listeners of one service process hear that their jobs have ended.

`stage` runs the servers and the service, `listeners` is a process with all the clients, `jobs` does on record
what workers do, and `cli` puts the figures together.
"""
