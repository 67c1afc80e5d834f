"""Building release/ and solutions/, and the demonstration, by nbgrader's commands."""
