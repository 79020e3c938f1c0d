//! What playback keeps in memory: rows, sample tables, objects. Everything is bounded by bytes, and what many
//! ask for at once is read once.

pub mod flight;
pub mod objects;
pub mod parts;
pub mod refreshed;
pub mod rows;
pub mod spans;
pub mod tables;
