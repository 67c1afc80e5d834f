"""What an instructor's machine needs, and who else can read or replace a course."""
