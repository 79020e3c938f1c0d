//! Statements that both databases understand word for word.
//!
//! `$1` and so on are bound in order. `sequence + 0` keeps the planners from walking a whole stream by its
//! sequence index where a window of the primary key is meant.

/// stream → the columns of `StreamColumns`.
pub(super) const STREAM: &str = "select lease_holder, lease_epoch, lease_expires_utc_us, next_sequence, \
    newest_discontinuity, newest_end_utc_us, first_start_utc_us, live_edge_utc_us, longest_us from streams where stream = $1";

/// → names.
pub(super) const STREAMS: &str = "select stream from streams order by stream";

/// stream: registers it.
pub(super) const REGISTER: &str = "insert into streams (stream) values ($1) on conflict (stream) do nothing";

/// stream, holder, epoch, expiry: a new holder.
pub(super) const TAKE_LEASE: &str =
    "update streams set lease_holder = $2, lease_epoch = $3, lease_expires_utc_us = $4 where stream = $1";

/// stream, holder, epoch, expiry: only while it is the holder's.
pub(super) const RENEW_LEASE: &str =
    "update streams set lease_expires_utc_us = $4 where stream = $1 and lease_holder = $2 and lease_epoch = $3";

/// stream, holder, epoch.
pub(super) const RELEASE_LEASE: &str = "update streams set lease_holder = null, lease_expires_utc_us = null \
    where stream = $1 and lease_holder = $2 and lease_epoch = $3";

/// stream, next sequence, discontinuity, end of the newest, first start, live edge, longest segment.
pub(super) const WRITE_STREAM: &str = "update streams set next_sequence = $2, newest_discontinuity = $3, \
    newest_end_utc_us = $4, first_start_utc_us = $5, live_edge_utc_us = $6, longest_us = $7 where stream = $1";

/// stream, hash, params.
pub(super) const INSERT_INIT: &str =
    "insert into inits (stream, hash, params) values ($1, $2, $3) on conflict (stream, hash) do nothing";

/// stream, start, sequence, epoch, run, duration, discontinuity, anchor, object, offset, length, parts.
pub(super) const INSERT_SEGMENT: &str = "insert into segments (stream, start_utc_us, sequence, epoch, run, duration_us, \
    discontinuity, anchor_ticks, object_key, object_offset, object_length, parts) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// stream, sequence, start, tables.
pub(super) const INSERT_TABLES: &str =
    "insert into sample_tables (stream, sequence, start_utc_us, tables) values ($1, $2, $3, $4)";

/// stream, start, sequence.
pub(super) const DELETE_SEGMENT: &str =
    "delete from segments where stream = $1 and start_utc_us = $2 and sequence = $3";

/// stream, start, sequence, epoch, run: only when marked, and only that very segment.
pub(super) const DELETE_MARKED: &str = "delete from segments where stream = $1 and start_utc_us = $2 and sequence = $3 \
    and epoch = $4 and run = $5 and marked_utc_us is not null";

/// stream, start, sequence, epoch, run: only while listed, and only that very segment.
pub(super) const DELETE_ONE: &str = "delete from segments where stream = $1 and start_utc_us = $2 and sequence = $3 \
    and epoch = $4 and run = $5 and marked_utc_us is null";

/// stream → `TailColumns` of the row with the highest number.
pub(super) const NEWEST_ROW: &str = "select sequence, discontinuity, start_utc_us + duration_us from segments \
    where stream = $1 order by sequence desc limit 1";

/// stream, start, sequence.
pub(super) const DELETE_TABLES: &str =
    "delete from sample_tables where stream = $1 and start_utc_us = $2 and sequence = $3";

/// stream, end of the window, start of the window less the longest segment, start of the window, after, limit →
/// `SegmentColumns`.
pub(super) const WINDOW: &str = "select sequence, epoch, run, start_utc_us, duration_us, discontinuity, anchor_ticks, \
    object_key, object_offset, object_length, parts from segments \
    where stream = $1 and start_utc_us < $2 and start_utc_us >= $3 and start_utc_us + duration_us > $4 \
    and marked_utc_us is null and sequence + 0 > $5 order by sequence + 0 limit $6";

/// stream, before, not before, limit → `SegmentColumns`, newest first.
pub(super) const NEWEST: &str = "select sequence, epoch, run, start_utc_us, duration_us, discontinuity, anchor_ticks, \
    object_key, object_offset, object_length, parts from segments \
    where stream = $1 and start_utc_us < $2 and start_utc_us >= $3 and marked_utc_us is null \
    order by start_utc_us desc, sequence desc limit $4";

/// stream, before, not before, start of the window, last start read, last sequence read, limit → start, sequence,
/// duration.
pub(super) const SPANS: &str = "select start_utc_us, sequence, duration_us from segments \
    where stream = $1 and start_utc_us < $2 and start_utc_us >= $3 and start_utc_us + duration_us > $4 \
    and (start_utc_us > $5 or sequence > $6) and marked_utc_us is null order by start_utc_us, sequence limit $7";

/// stream, now, not before, cutoff, limit.
pub(super) const MARK: &str = "update segments set marked_utc_us = $2 \
    where stream = $1 and start_utc_us >= $3 and start_utc_us < $4 and (start_utc_us, sequence) in ( \
    select start_utc_us, sequence from segments where stream = $1 and start_utc_us >= $3 and start_utc_us < $4 \
    and start_utc_us + duration_us <= $4 and marked_utc_us is null order by start_utc_us, sequence limit $5)";

/// stream, marked before, limit → `MarkedColumns`.
pub(super) const DELETABLE: &str = "select sequence, epoch, run, start_utc_us, duration_us, object_key from segments \
    where stream = $1 and marked_utc_us is not null and marked_utc_us < $2 order by start_utc_us, sequence limit $3";

/// stream, not before, before → start of the first listed segment.
pub(super) const FIRST_START: &str = "select start_utc_us from segments where stream = $1 and start_utc_us >= $2 \
    and start_utc_us < $3 and marked_utc_us is null order by start_utc_us limit 1";

/// stream, not before, before → start of the last listed segment.
pub(super) const LAST_START: &str = "select start_utc_us from segments where stream = $1 and start_utc_us >= $2 \
    and start_utc_us < $3 and marked_utc_us is null order by start_utc_us desc limit 1";

/// stream, not before, before → latest end of the listed segments.
pub(super) const LAST_END: &str = "select max(start_utc_us + duration_us) from segments where stream = $1 \
    and start_utc_us >= $2 and start_utc_us < $3 and marked_utc_us is null";

/// stream, JSON.
pub(super) const SET_UNCARRIED: &str = "insert into uncarried (stream, tracks) values ($1, $2) \
    on conflict (stream) do update set tracks = excluded.tracks";

/// stream → JSON.
pub(super) const UNCARRIED: &str = "select tracks from uncarried where stream = $1";

/// → version of the schema.
pub(super) const VERSION: &str = "select max(version) from _sqlx_migrations where success";

/// stream, window start, window end, last start read, last sequence read, limit → `RowColumns`.
pub(super) const ROWS: &str = "select sequence, epoch, run, start_utc_us, duration_us, discontinuity, anchor_ticks, \
    object_key, object_offset, object_length, parts, marked_utc_us from segments \
    where stream = $1 and start_utc_us >= $2 and start_utc_us < $3 and (start_utc_us > $4 or sequence > $5) \
    order by start_utc_us, sequence limit $6";

/// stream, sequence, not before, before → `RowColumns`.
pub(super) const ROW: &str = "select sequence, epoch, run, start_utc_us, duration_us, discontinuity, anchor_ticks, \
    object_key, object_offset, object_length, parts, marked_utc_us from segments \
    where stream = $1 and sequence = $2 and start_utc_us >= $3 and start_utc_us < $4";

/// stream, start, sequence, epoch, run, now: only that very segment, and only while it is listed.
pub(super) const MARK_ONE: &str = "update segments set marked_utc_us = $6 where stream = $1 and start_utc_us = $2 \
    and sequence = $3 and epoch = $4 and run = $5 and marked_utc_us is null";

/// stream, not before, cutoff → count, bytes: what `MARK` would mark.
pub(super) const EXPIRED: &str = "select count(*), cast(coalesce(sum(object_length), 0) as bigint) from segments \
    where stream = $1 and start_utc_us >= $2 and start_utc_us < $3 and start_utc_us + duration_us <= $3 \
    and marked_utc_us is null";

/// stream, epoch: the lease's epoch is at least that.
pub(super) const RAISE_EPOCH: &str = "update streams set lease_epoch = $2 where stream = $1 and lease_epoch < $2";

/// stream, id, from, to, title, created, expires.
pub(super) const ADD_LOCK: &str = "insert into locks (stream, id, from_utc_us, to_utc_us, title, created_utc_us, \
    expires_utc_us) values ($1, $2, $3, $4, $5, $6, $7) on conflict (stream, id) do nothing";

/// stream, from, to → `LockColumns`.
pub(super) const LOCKS: &str = "select id, from_utc_us, to_utc_us, title, created_utc_us, expires_utc_us from locks \
    where stream = $1 and to_utc_us > $2 and from_utc_us < $3 order by from_utc_us, id";

/// stream, from, to, now → from, to of the locks that hold now.
pub(super) const LOCKED: &str = "select from_utc_us, to_utc_us from locks where stream = $1 and to_utc_us > $2 \
    and from_utc_us < $3 and (expires_utc_us is null or expires_utc_us > $4)";

/// stream, id.
pub(super) const REMOVE_LOCK: &str = "delete from locks where stream = $1 and id = $2";

/// moment.
pub(super) const FORGET_LOCKS: &str = "delete from locks where expires_utc_us < $1";

/// stream → bytes.
pub(super) const STORED_BYTES: &str =
    "select cast(coalesce(sum(bytes), 0) as bigint) from stream_hours where stream = $1";

/// → stream, bytes.
pub(super) const ALL_STORED_BYTES: &str =
    "select stream, cast(sum(bytes) as bigint) from stream_hours group by stream order by stream";

/// stream → hour, bytes, newest first.
pub(super) const HOURS: &str =
    "select hour_utc_us, bytes from stream_hours where stream = $1 order by hour_utc_us desc";

/// stream, first hour, behind the last → hour, bytes.
pub(super) const HOURS_WITHIN: &str = "select hour_utc_us, bytes from stream_hours \
    where stream = $1 and hour_utc_us >= $2 and hour_utc_us < $3 order by hour_utc_us";

/// → hour, bytes over all streams, newest first.
pub(super) const ALL_HOURS: &str = "select hour_utc_us, cast(sum(bytes) as bigint) from stream_hours \
    group by hour_utc_us order by hour_utc_us desc";

/// stream, hour, next hour → start, duration, bytes, newest first.
pub(super) const SIZES: &str = "select start_utc_us, duration_us, object_length from segments where stream = $1 \
    and start_utc_us >= $2 and start_utc_us < $3 and marked_utc_us is null order by start_utc_us desc, sequence desc";

/// hour, next hour → start, duration, bytes over all streams, newest first.
pub(super) const ALL_SIZES: &str = "select s.start_utc_us, s.duration_us, s.object_length from stream_hours h \
    join segments s on s.stream = h.stream where h.hour_utc_us = $1 and s.start_utc_us >= $1 and s.start_utc_us < $2 \
    and s.marked_utc_us is null order by s.start_utc_us desc, s.stream desc";

/// stream → setting, cutoff.
pub(super) const APPLIED_RETENTION: &str = "select setting, cutoff_utc_us from applied_retention where stream = $1";

/// stream, setting, cutoff.
pub(super) const SET_APPLIED_RETENTION: &str = "insert into applied_retention (stream, setting, cutoff_utc_us) \
    values ($1, $2, $3) on conflict (stream) do update set setting = excluded.setting, \
    cutoff_utc_us = excluded.cutoff_utc_us";
