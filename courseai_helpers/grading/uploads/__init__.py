"""Submissions downloaded from an LMS, sorted by who sent them."""
