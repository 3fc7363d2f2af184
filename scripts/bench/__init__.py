"""Measures mediaq beside other job queues on one Redis server.

`catalog` says who takes part, `environments` installs them, `measures` has one module for each thing that
is measured, `targets` what mediaq has to reach. Every peer is one module in `peers`: how it enqueues, and
what its own command line needs to run a worker.
"""
