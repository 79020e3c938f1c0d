//! Time index in PostgreSQL.
