"""Long work: calls that are answered later, kept in a database and a folder."""
