-- A lock may end by itself.

alter table locks add column expires_utc_us integer; -- from this moment on it keeps nothing; null: never
