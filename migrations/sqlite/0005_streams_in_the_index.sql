-- Streams that are set in the index, for all nodes alike, and what recorders say of the streams they have.

-- Counts the changes of stream_settings and removed_streams: whoever follows them asks for this number alone.
create table settings_revision (
    one      integer primary key check (one = 1), -- the only row
    revision integer not null                     -- grows with each change
) strict;
insert into settings_revision (one, revision) values (1, 0);

-- Streams that are recorded because the index says so, not a configuration file.
create table stream_settings (
    stream         text primary key, -- name
    version        integer not null, -- revision of its last change; never given twice
    changed_utc_us integer not null, -- when that was
    setting        text not null     -- JSON: source, retention and so on, see src/index/control.rs; may hold a password
) strict, without rowid;

-- Streams that were deleted: what was recorded before that moment goes, locked parts excepted.
create table removed_streams (
    stream         text primary key, -- name
    removed_utc_us integer not null  -- what ends before or at this moment goes
) strict, without rowid;

-- What each recorder says of each of its streams: for people; nothing is decided by it.
create table stream_reports (
    recorder    text not null,    -- holder of its leases
    stream      text not null,    -- name
    seen_utc_us integer not null, -- when it was said, by the recorder's own clock
    report      text not null,    -- JSON: state, reason, source without secrets, see src/index/control.rs
    primary key (recorder, stream)
) strict, without rowid;
