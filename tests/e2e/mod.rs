//! Parts of the end-to-end suite.

pub mod cluster;
pub mod media;
pub mod node;
pub mod scenario;
pub mod sources;
