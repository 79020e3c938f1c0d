-- The time index. All wall times are UTC in whole microseconds since 1970-01-01T00:00:00Z, in bigint columns
-- named *_utc_us: exact, and compared without any time zone. Names are compared byte by byte (collation "C"),
-- as the program does.

-- One row for each stream that ever had a lease. Every publish locks it, so all writes to one stream queue here.
create table streams (
    stream               text collate "C" primary key, -- name; also the key of all other tables: readable, and no join
    lease_holder         text,                         -- process that may write; null when given up or never taken
    lease_epoch          bigint not null default 0,    -- counts holders; fences off writers whose lease was taken over
    lease_expires_utc_us bigint,                       -- moment the lease lapses; null when there is none
    next_sequence        bigint not null default 0,    -- one more than the highest sequence ever published; never falls
    newest_discontinuity bigint not null default 0,    -- discontinuity number of the segment next_sequence - 1
    newest_end_utc_us    bigint,                       -- end of the segment next_sequence - 1; null before the first
    first_start_utc_us   bigint,                       -- earliest start of all listed segments, kept so that no request
                                                       -- has to look through all partitions for it; null when none
    live_edge_utc_us     bigint                        -- latest end of all listed segments, kept for the same reason
);

-- What init segments say. Few, never changed, never deleted.
create table inits (
    stream text collate "C" not null, -- stream whose folder holds the init segment
    hash   bytea not null,            -- 16 bytes: content hash, the init segment's name
    params text not null,             -- JSON: codec, language, picture size, sample entry
    primary key (stream, hash)
);

-- What of a stream's source is not recorded; in its own table because it may be known before the first lease.
create table uncarried (
    stream text collate "C" primary key, -- stream
    tracks text not null                 -- JSON list: place, what it is, language
);

-- One row for each segment. Partitions of one UTC day of start_utc_us are made when first needed and dropped when
-- empty and old. (stream, sequence) is unique because every publish looks while it holds the row in streams.
create table segments (
    stream        text collate "C" not null, -- stream
    start_utc_us  bigint not null,           -- wall time of the first picture; the partition key
    sequence      bigint not null,           -- number in the stream: the HLS media sequence, from 0
    epoch         bigint not null,           -- lease epoch of the writer; of two with one sequence the higher holds
    run           bytea not null,            -- 16 bytes, big endian: the ingest session
    duration_us   bigint not null check (duration_us > 0), -- wall time covered, in microseconds
    discontinuity bigint not null,           -- discontinuities of the stream up to this segment
    anchor_ticks  bigint not null,           -- media time of start_utc_us, in ticks of 1/90000 s
    object_key    text collate "C" not null, -- object that holds the segment, relative to the store's root
    object_offset bigint not null,           -- first byte of the segment in its object; not 0 once objects hold several
    object_length bigint not null,           -- bytes of the segment in its object
    parts         bytea not null,            -- the tracks' shares, packed (version byte first): see src/index/row.rs
    marked_utc_us bigint,                    -- when it was marked for deletion; null while listed
    -- Included columns: ranges are answered from the index alone.
    primary key (stream, start_utc_us, sequence) include (duration_us, marked_utc_us)
) partition by range (start_utc_us);

-- A segment by its number, once stream_days has said in which partitions it may be.
create index segments_by_sequence on segments (stream, sequence);

-- What the janitor has to delete.
create index segments_marked on segments (stream, start_utc_us) where marked_utc_us is not null;

-- Sample tables of segments, aside because playlists never read them. Partitioned by the same days.
create table sample_tables (
    stream       text collate "C" not null, -- stream
    sequence     bigint not null,           -- number of the segment in the stream
    start_utc_us bigint not null,           -- start of the segment; the partition key
    tables       bytea not null,            -- one table for each part, packed (version byte first): see src/index/row.rs
    primary key (stream, sequence, start_utc_us)
) partition by range (start_utc_us);

-- Which numbers a stream has on which days: leads from a sequence to its partitions. May say too much, never too little.
create table stream_days (
    stream         text collate "C" not null, -- stream
    day_utc_us     bigint not null,           -- first moment of the UTC day: the lower bound of a partition
    first_sequence bigint not null,           -- lowest sequence ever published on that day
    last_sequence  bigint not null,           -- highest sequence ever published on that day
    primary key (stream, day_utc_us)
);
