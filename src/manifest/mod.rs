//! Manifests: typed documents to text.
