"""The steps by which the tables came to be as they are. Alembic runs them (`policies.audit.ledger.sql_migrations`)."""
