//! Object store over the S3 protocol.
