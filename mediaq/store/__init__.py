"""Postgres: the record of jobs, operations, costs and media items."""
