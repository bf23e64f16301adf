"""What survives a restart: the database and its one writer, evidence, and small state files."""
