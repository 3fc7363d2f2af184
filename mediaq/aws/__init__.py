"""AWS: the only place that imports aioboto3."""
