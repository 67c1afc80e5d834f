"""To and from a learning management system: Canvas and Moodle."""
