//! Object store in a directory.
