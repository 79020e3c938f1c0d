//! Sources: where live streams come from.

use crate::container::MediaEvent;
use crate::media::UtcUs;

/// A piece of a source, in order.
#[derive(Debug)]
pub struct SourceItem {
    /// What was demuxed.
    pub events: Vec<MediaEvent>,
    /// When it arrived; `None` where arrival says nothing of wall time (a file read at full speed).
    pub arrival: Option<UtcUs>,
}
