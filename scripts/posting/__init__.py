"""Measures how many jobs a second one service process accepts, beside a bare route that keeps no promise.

`bare` is the route that it is compared with, `sender` is a process that sends requests to either, and `cli`
has them take turns and puts the figures together. The servers are those of `audience.stage`.
"""
