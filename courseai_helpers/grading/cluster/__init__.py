"""Executing submissions in threads of this process or on a Dask scheduler's workers.

A worker is not trusted: what it returns is data, checked against a schema. Only the
courier, a process of its own that refuses pickles with code, speaks Dask.
"""
