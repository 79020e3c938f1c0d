-- The time index. All wall times are UTC in whole microseconds since 1970-01-01T00:00:00Z, in integer columns
-- named *_utc_us: exact, and compared without any time zone. The same tables as in PostgreSQL, without partitions.

-- One row for each stream that ever had a lease. Every publish reads and writes it.
create table streams (
    stream               text primary key,             -- name; also the key of all other tables: readable, and no join
    lease_holder         text,                         -- process that may write; null when given up or never taken
    lease_epoch          integer not null default 0,   -- counts holders; fences off writers whose lease was taken over
    lease_expires_utc_us integer,                      -- moment the lease lapses; null when there is none
    next_sequence        integer not null default 0,   -- one more than the highest sequence ever published; never falls
    newest_discontinuity integer not null default 0,   -- discontinuity number of the segment next_sequence - 1
    newest_end_utc_us    integer,                      -- end of the segment next_sequence - 1; null before the first
    first_start_utc_us   integer,                      -- earliest start of all listed segments, kept so that no request
                                                       -- has to look for it; null when there are none
    live_edge_utc_us     integer                       -- latest end of all listed segments, kept for the same reason
) strict, without rowid;

-- What init segments say. Few, never changed, never deleted.
create table inits (
    stream text not null, -- stream whose folder holds the init segment
    hash   blob not null, -- 16 bytes: content hash, the init segment's name
    params text not null, -- JSON: codec, language, picture size, sample entry
    primary key (stream, hash)
) strict, without rowid;

-- What of a stream's source is not recorded; in its own table because it may be known before the first lease.
create table uncarried (
    stream text primary key, -- stream
    tracks text not null     -- JSON list: place, what it is, language
) strict, without rowid;

-- One row for each segment. Without rowid: the rows of a window lie side by side in the file.
create table segments (
    stream        text not null,    -- stream
    start_utc_us  integer not null, -- wall time of the first picture
    sequence      integer not null, -- number in the stream: the HLS media sequence, from 0
    epoch         integer not null, -- lease epoch of the writer; of two with one sequence the higher holds
    run           blob not null,    -- 16 bytes, big endian: the ingest session
    duration_us   integer not null check (duration_us > 0), -- wall time covered, in microseconds
    discontinuity integer not null, -- discontinuities of the stream up to this segment
    anchor_ticks  integer not null, -- media time of start_utc_us, in ticks of 1/90000 s
    object_key    text not null,    -- object that holds the segment, relative to the store's root
    object_offset integer not null, -- first byte of the segment in its object; not 0 once objects hold several
    object_length integer not null, -- bytes of the segment in its object
    parts         blob not null,    -- the tracks' shares, packed (version byte first): see src/index/row.rs
    marked_utc_us integer,          -- when it was marked for deletion; null while listed
    primary key (stream, start_utc_us, sequence)
) strict, without rowid;

-- A segment by its number.
create unique index segments_by_sequence on segments (stream, sequence);

-- What the janitor has to delete.
create index segments_marked on segments (stream, start_utc_us) where marked_utc_us is not null;

-- Sample tables of segments, aside because playlists never read them.
create table sample_tables (
    stream       text not null,    -- stream
    sequence     integer not null, -- number of the segment in the stream
    start_utc_us integer not null, -- start of the segment, as in its row
    tables       blob not null,    -- one table for each part, packed (version byte first): see src/index/row.rs
    primary key (stream, sequence)
) strict;
