"""mediaq: media analysis jobs on plain RQ queues."""
