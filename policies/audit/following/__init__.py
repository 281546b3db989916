"""What follows the journal: one process that brings every record to every sink, at least once and in order."""
