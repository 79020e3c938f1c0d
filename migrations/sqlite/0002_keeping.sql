-- What is kept: bytes by hour, locked time ranges, the retention last applied.

-- Bytes of listed segments by the UTC hour in which they start: how much a stream holds, and where its newest
-- so-many bytes begin, without reading segments. Kept by the triggers below, so that no writer can forget it.
create table stream_hours (
    stream      text not null,    -- stream
    hour_utc_us integer not null, -- first moment of the UTC hour
    bytes       integer not null, -- bytes of all listed segments that start in it; no row when there are none
    primary key (stream, hour_utc_us)
) strict, without rowid;

-- The same over all streams.
create index stream_hours_by_hour on stream_hours (hour_utc_us);

insert into stream_hours (stream, hour_utc_us, bytes)
    select stream, start_utc_us - start_utc_us % 3600000000, sum(object_length)
    from segments where marked_utc_us is null group by 1, 2;

create trigger segments_counted after insert on segments when new.marked_utc_us is null begin
    insert into stream_hours (stream, hour_utc_us, bytes)
        values (new.stream, new.start_utc_us - new.start_utc_us % 3600000000, new.object_length)
        on conflict (stream, hour_utc_us) do update set bytes = bytes + excluded.bytes;
end;

create trigger segments_uncounted after delete on segments when old.marked_utc_us is null begin
    update stream_hours set bytes = bytes - old.object_length
        where stream = old.stream and hour_utc_us = old.start_utc_us - old.start_utc_us % 3600000000;
    delete from stream_hours
        where stream = old.stream and hour_utc_us = old.start_utc_us - old.start_utc_us % 3600000000 and bytes <= 0;
end;

create trigger segments_uncounted_when_marked after update of marked_utc_us on segments
    when old.marked_utc_us is null and new.marked_utc_us is not null begin
    update stream_hours set bytes = bytes - old.object_length
        where stream = old.stream and hour_utc_us = old.start_utc_us - old.start_utc_us % 3600000000;
    delete from stream_hours
        where stream = old.stream and hour_utc_us = old.start_utc_us - old.start_utc_us % 3600000000 and bytes <= 0;
end;

-- Time ranges that retention must keep.
create table locks (
    stream         text not null,    -- stream
    id             blob not null,    -- 16 bytes, big endian: a UUID v7
    from_utc_us    integer not null, -- first moment that is kept
    to_utc_us      integer not null, -- first moment that is not
    title          text not null,    -- for people
    created_utc_us integer not null, -- when it was made
    primary key (stream, id),
    check (from_utc_us < to_utc_us)
) strict, without rowid;

-- Locks that reach into what is still recorded.
create index locks_by_end on locks (stream, to_utc_us);

-- The retention that the janitor applied last: whether a run that would unlist most of a stream is meant.
create table applied_retention (
    stream        text primary key, -- stream
    setting       text not null,    -- the settings in words, only ever compared
    cutoff_utc_us integer not null  -- what ended before this moment was unlisted
) strict, without rowid;
