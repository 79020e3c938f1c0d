-- What is kept: bytes by hour, locked time ranges, the retention last applied.

-- Bytes of listed segments by the UTC hour in which they start: how much a stream holds, and where its newest
-- so-many bytes begin, without reading segments. Kept by the triggers below, so that no writer can forget it: all
-- writes that change it hold the stream's row in streams. Dropping a partition fires no trigger; only partitions
-- without listed segments are dropped.
create table stream_hours (
    stream      text collate "C" not null, -- stream
    hour_utc_us bigint not null,           -- first moment of the UTC hour
    bytes       bigint not null,           -- bytes of all listed segments that start in it; no row when there are none
    primary key (stream, hour_utc_us)
);

-- The same over all streams.
create index stream_hours_by_hour on stream_hours (hour_utc_us);

-- From here to the end of the migration nobody writes segments: what is counted here and what the triggers count adds up.
lock table segments in share row exclusive mode;

insert into stream_hours (stream, hour_utc_us, bytes)
    select stream, start_utc_us - start_utc_us % 3600000000, sum(object_length)
    from segments where marked_utc_us is null group by 1, 2;

create function count_segment_bytes() returns trigger language plpgsql as $$
begin
    insert into stream_hours (stream, hour_utc_us, bytes)
        select stream, start_utc_us - start_utc_us % 3600000000, sum(object_length)
        from added where marked_utc_us is null group by 1, 2
        on conflict (stream, hour_utc_us) do update set bytes = stream_hours.bytes + excluded.bytes;
    return null;
end $$;

create function uncount_segment_bytes() returns trigger language plpgsql as $$
begin
    with less as (
        select stream, start_utc_us - start_utc_us % 3600000000 as hour_utc_us, sum(object_length) as bytes
        from removed where marked_utc_us is null group by 1, 2
    ), empty as (
        delete from stream_hours h using less
        where h.stream = less.stream and h.hour_utc_us = less.hour_utc_us and h.bytes <= less.bytes
    )
    update stream_hours h set bytes = h.bytes - less.bytes from less
        where h.stream = less.stream and h.hour_utc_us = less.hour_utc_us and h.bytes > less.bytes;
    return null;
end $$;

create trigger segments_counted after insert on segments
    referencing new table as added for each statement execute function count_segment_bytes();

create trigger segments_uncounted after delete on segments
    referencing old table as removed for each statement execute function uncount_segment_bytes();

-- The only update there is marks segments.
create trigger segments_uncounted_when_marked after update on segments
    referencing old table as removed for each statement execute function uncount_segment_bytes();

-- Time ranges that retention must keep.
create table locks (
    stream         text collate "C" not null, -- stream
    id             bytea not null,            -- 16 bytes, big endian: a UUID v7
    from_utc_us    bigint not null,           -- first moment that is kept
    to_utc_us      bigint not null,           -- first moment that is not
    title          text not null,             -- for people
    created_utc_us bigint not null,           -- when it was made
    primary key (stream, id),
    check (from_utc_us < to_utc_us)
);

-- Locks that reach into what is still recorded.
create index locks_by_end on locks (stream, to_utc_us);

-- The retention that the janitor applied last: whether a run that would unlist most of a stream is meant.
create table applied_retention (
    stream        text collate "C" primary key, -- stream
    setting       text not null,                -- the settings in words, only ever compared
    cutoff_utc_us bigint not null               -- what ended before this moment was unlisted
);
