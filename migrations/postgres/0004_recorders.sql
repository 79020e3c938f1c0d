-- Recorders that are at work. A hint for sharing the streams out; who may write is decided by the leases alone.
create table recorders (
    recorder    text collate "C" primary key, -- holder of its leases
    beat        bigint not null,              -- grows with each sign of life: whoever watches it compares no clocks
    seen_utc_us bigint not null,              -- the last sign of life, by the recorder's own clock
    capacity    bigint,                       -- most streams it records; null for no limit
    held        bigint not null,              -- streams it records now
    leaving     bigint not null               -- 1 when it is about to end, else 0
);
