"""Breaks workers, connections and servers under running jobs, and counts what became of the jobs."""
