"""From attributed feedback to a session that has counted it."""
