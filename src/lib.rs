//! Evertape: a cloud DVR.
//!
//! Recording: `source ─▶ demux ─▶ segmenter ─▶ spool ─▶ object store (PUT) ─▶ time index (INSERT)`.
//!
//! Playing back: `request ─▶ URL grammar ─▶ time window ─▶ index query ─▶ presentation plan ─▶ playlist or
//! virtual MP4 ─▶ object ranges (GET)`.
//!
//! Layers, imports going downwards only (`tests/layers.rs` checks it):
//!
//! | layer | modules |
//! |---|---|
//! | wiring | `main.rs`, `config.rs` |
//! | services | [`recorder`], [`web`], [`janitor`], [`check`] |
//! | adapters | [`store`], [`index`] |
//! | answers (pure) | [`playback`] |
//! | formats (pure) | [`container`], [`manifest`] |
//! | vocabulary (pure) | [`media`] |

pub mod causes;
pub mod check;
pub mod clock;
pub mod config;
pub mod container;
pub mod crash_points;
pub mod index;
pub mod janitor;
pub mod manifest;
pub mod media;
pub mod memory;
pub mod playback;
pub mod recorder;
pub mod store;
pub mod web;
