-- A lock may end by itself.

alter table locks add column expires_utc_us bigint; -- from this moment on it keeps nothing; null: never

-- A recorder that was started anew has nothing of its streams yet, however soon it is back.
alter table recorders add column begun_utc_us bigint not null default 0; -- start of its process, by its own clock; 0: not told
