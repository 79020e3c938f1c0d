-- EXT-X-TARGETDURATION of a stream's playlists must never change while somebody reloads them, and must hold for every
-- segment: it is made from this.
alter table streams add column longest_us bigint not null default 0; -- longest duration of any segment ever published,
                                                                     -- or of a track in it, in microseconds; never falls
update streams set longest_us = coalesce((select max(duration_us) from segments s where s.stream = streams.stream), 0);
