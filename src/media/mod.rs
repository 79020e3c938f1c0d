//! The vocabulary: ids, wall and media time, tracks, samples, segments, timelines, retention rules.
//!
//! Comes in: numbers and names that others have read. Goes out: types whose invariants hold.
//! Never: I/O, clocks, randomness, SQL, HTTP, logging.

pub mod ids;
pub mod lock;
pub mod retention;
pub mod sample;
pub mod segment;
pub mod time;
pub mod timeline;
pub mod track;
pub mod wallclock;

pub use ids::{InitHash, ObjectKey, RunId, StreamName};
pub use sample::{Sample, SampleTable};
pub use segment::{Segment, TrackPart};
pub use time::{Ticks, UtcRange, UtcUs};
pub use track::{Codec, InitInfo, TrackId, TrackKind};
