"""Valkey, Postgres, S3 and the AWS stand-in on this machine, for development, demo and tests."""
