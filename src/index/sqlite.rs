//! Time index in SQLite.
