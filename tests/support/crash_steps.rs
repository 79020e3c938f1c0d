//! The steps at which suites kill real processes, by what is under way. A step is a name of `crash_points`, where it
//! matters with the pass at which the process dies. `tests/upkeep_crashes` sees to it that no name of the sources is
//! missing here.
#![allow(dead_code)]

/// From the cut to the emptied spool, as a recorder alone goes past them.
pub const ALONE: &[&str] = &[
    "lease.acquired",
    "takeover.begun",
    "segment.cut:3",
    "segment.numbered:3",
    "spool.created:5",
    "spool.written:5",
    "spool.synced:5",
    "spool.renamed:5",
    "spool.folder-synced:5",
    "segment.spooled:3",
    "publish.inits-stored:3",
    "publish.object-stored:3",
    "publish.committed:3",
    "publish.spool-emptied:3",
];

/// An orderly stop.
pub const LEAVING: &[&str] = &["handover.cut", "handover.published", "lease.released"];

/// A takeover.
pub const TAKING: &[&str] = &[
    "lease.acquired",
    "takeover.begun",
    "takeover.joined",
    "segment.spooled",
    "takeover.numbered",
    "takeover.shadow-removed",
    "takeover.set-back",
    "publish.object-stored",
    "publish.committed",
    "publish.spool-emptied",
    "shadow.written:5",
];

/// A recorder that lost its lease with segments waiting finds that out while it runs.
pub const RETURNING: &[&str] = &["demotion.lease-lost", "demotion.lease-lost:2", "demotion.lease-lost:3"];

/// A standby that looks after its shadows.
pub const STANDING_BY: &[&str] = &["shadow.written:3", "shadow.let-go", "shadow.let-go:2"];

/// The same finds it out when it starts.
pub const RETURNING_AT_START: &[&str] = &["demotion.at-start"];

/// What the archive lacks is filled in.
pub const FILLING: &[&str] = &["fill.object-stored", "fill.object-stored:2", "fill.committed", "fill.committed:2"];

/// The janitor, whatever the database.
pub const JANITOR: &[&str] = &[
    "janitor.marked",
    "janitor.marked:2",
    "janitor.retention-remembered",
    "janitor.deletion-seen-to",
    "janitor.locks-forgotten",
    "janitor.objects-deleted",
    "janitor.objects-deleted:2",
    "janitor.rows-deleted",
    "janitor.rows-deleted:2",
];

/// The janitor where days are dropped whole.
pub const JANITOR_SPANS: &[&str] = &[
    "janitor.span-objects-deleted",
    "janitor.span-objects-deleted:2",
    "janitor.span-objects-deleted:3",
    "janitor.span-deleted",
    "janitor.span-deleted:2",
];

/// `evertape check --repair`.
pub const REPAIR: &[&str] = &[
    "adopt.objects-read",
    "adopt.objects-read:3",
    "adopt.rows-written",
    "adopt.rows-written:3",
    "repair.rows-marked",
    "repair.rows-marked:2",
    "repair.init-known",
    "repair.init-stored",
];

/// `evertape reindex`.
pub const REINDEX: &[&str] = &[
    "adopt.objects-read",
    "adopt.objects-read:4",
    "adopt.rows-written",
    "adopt.rows-written:4",
    "reindex.day-done",
    "reindex.day-done:5",
];

/// All of them.
pub const ALL: &[&[&str]] = &[
    ALONE,
    LEAVING,
    TAKING,
    STANDING_BY,
    RETURNING,
    RETURNING_AT_START,
    FILLING,
    JANITOR,
    JANITOR_SPANS,
    REPAIR,
    REINDEX,
];
