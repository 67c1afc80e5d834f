"""Submissions downloaded from an LMS, sorted by who sent them.

An archive is unpacked within limits of size and number, and a damaged entry is
reported without holding up the others.
"""
