"""Executing submissions in threads of this process or on a Dask scheduler's workers.

A worker is not trusted: what it returns is data, checked against a schema.
"""
