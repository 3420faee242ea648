-- SPDX-License-Identifier: Apache-2.0

-- What daemons keep in their cache directories, and what it has saved. The files are the truth; these tables are filled from
-- them and can be dropped and filled again. No token ids and no text are here. Keys are hashes over token ids: whoever knows a
-- document could tell by its key that it is there, so readers see none.

CREATE TABLE deltakv.cache_stores (
    store_id uuid PRIMARY KEY,
    host text NOT NULL,
    directory text NOT NULL,
    budget_bytes bigint NOT NULL,
    free_bytes bigint,
    hits bigint NOT NULL DEFAULT 0,
    seconds_saved double precision NOT NULL DEFAULT 0,
    bytes_read bigint NOT NULL DEFAULT 0,
    written bigint NOT NULL DEFAULT 0,
    bytes_written bigint NOT NULL DEFAULT 0,
    evicted bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    orphaned bigint NOT NULL DEFAULT 0,
    damaged bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE deltakv.cache_stores IS
    'Cache directories, each with what its daemons have done since it was first seen. A directory that several machines '
    'share is one row, with the host that wrote last.';
COMMENT ON COLUMN deltakv.cache_stores.refused IS 'Chunks that found no room, or came faster than the disk takes them.';

CREATE TABLE deltakv.caches (
    store_id uuid NOT NULL REFERENCES deltakv.cache_stores ON DELETE CASCADE,
    key bytea NOT NULL CONSTRAINT caches_key CHECK (octet_length(key) = 32),
    parent bytea NOT NULL CONSTRAINT caches_parent CHECK (octet_length(parent) = 32),
    fingerprint bytea NOT NULL CONSTRAINT caches_fingerprint CHECK (octet_length(fingerprint) = 32),
    chunk_index integer NOT NULL CONSTRAINT caches_index CHECK (chunk_index >= 0),
    tokens integer NOT NULL CONSTRAINT caches_tokens CHECK (tokens > 0),
    bytes bigint NOT NULL CONSTRAINT caches_bytes CHECK (bytes > 0),
    prefill_seconds double precision NOT NULL CONSTRAINT caches_seconds CHECK (prefill_seconds >= 0),
    encrypted boolean NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    hits bigint NOT NULL DEFAULT 0,
    seconds_saved double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, key)
);
COMMENT ON TABLE deltakv.caches IS 'The chunks in cache directories, with how often each was used.';

CREATE TABLE deltakv.cache_misses (
    store_id uuid NOT NULL REFERENCES deltakv.cache_stores ON DELETE CASCADE,
    reason text NOT NULL CONSTRAINT cache_misses_reason CHECK (reason ~ '^[a-z_]{1,40}$'),
    misses bigint NOT NULL,
    PRIMARY KEY (store_id, reason)
);
COMMENT ON TABLE deltakv.cache_misses IS
    'How often a prompt was not in a cache to its end, by the reason: absent, fingerprint (stored for another model or '
    'setting), salt, expired, partial, checksum, format, unreadable.';

CREATE FUNCTION deltakv.sync_cache_store(
    store_id uuid,
    host text,
    directory text,
    budget_bytes bigint,
    free_bytes bigint,
    hits bigint,
    seconds_saved double precision,
    bytes_read bigint,
    written bigint,
    bytes_written bigint,
    evicted bigint,
    expired bigint,
    orphaned bigint,
    damaged bigint,
    refused bigint,
    reasons text[],
    misses bigint[]
) RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO deltakv.cache_stores AS s (
        store_id, host, directory, budget_bytes, free_bytes, hits, seconds_saved, bytes_read, written, bytes_written,
        evicted, expired, orphaned, damaged, refused)
    VALUES (
        sync_cache_store.store_id, sync_cache_store.host, sync_cache_store.directory, sync_cache_store.budget_bytes,
        sync_cache_store.free_bytes, sync_cache_store.hits, sync_cache_store.seconds_saved, sync_cache_store.bytes_read,
        sync_cache_store.written, sync_cache_store.bytes_written, sync_cache_store.evicted, sync_cache_store.expired,
        sync_cache_store.orphaned, sync_cache_store.damaged, sync_cache_store.refused)
    ON CONFLICT (store_id) DO UPDATE SET
        host = excluded.host, directory = excluded.directory, budget_bytes = excluded.budget_bytes,
        free_bytes = excluded.free_bytes, hits = s.hits + excluded.hits,
        seconds_saved = s.seconds_saved + excluded.seconds_saved, bytes_read = s.bytes_read + excluded.bytes_read,
        written = s.written + excluded.written, bytes_written = s.bytes_written + excluded.bytes_written,
        evicted = s.evicted + excluded.evicted, expired = s.expired + excluded.expired,
        orphaned = s.orphaned + excluded.orphaned, damaged = s.damaged + excluded.damaged,
        refused = s.refused + excluded.refused, synced_at = now();
    INSERT INTO deltakv.cache_misses AS m (store_id, reason, misses)
    SELECT sync_cache_store.store_id, r.reason, r.misses
    FROM unnest(sync_cache_store.reasons, sync_cache_store.misses) AS r (reason, misses)
    ON CONFLICT (store_id, reason) DO UPDATE SET misses = m.misses + excluded.misses
$$;
COMMENT ON FUNCTION deltakv.sync_cache_store(
    uuid, text, text, bigint, bigint, bigint, double precision, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    bigint, text[], bigint[]) IS
    'Adds what a daemon has done with a cache directory since it last said so, and notes how the directory stands.';

CREATE FUNCTION deltakv.sync_caches(
    store_id uuid,
    keys text[],
    parents text[],
    fingerprints text[],
    indexes bigint[],
    tokens bigint[],
    bytes bigint[],
    prefill_seconds double precision[],
    encrypted boolean[],
    created double precision[],
    last_used double precision[],
    hits bigint[],
    seconds_saved double precision[]
) RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO deltakv.caches AS c (
        store_id, key, parent, fingerprint, chunk_index, tokens, bytes, prefill_seconds, encrypted, created_at,
        last_used_at, hits, seconds_saved)
    SELECT sync_caches.store_id, decode(r.key, 'hex'), decode(r.parent, 'hex'), decode(r.fingerprint, 'hex'),
        r.chunk_index::integer, r.tokens::integer, r.bytes, r.prefill_seconds, r.encrypted, to_timestamp(r.created),
        to_timestamp(r.last_used), r.hits, r.seconds_saved
    FROM unnest(
        sync_caches.keys, sync_caches.parents, sync_caches.fingerprints, sync_caches.indexes, sync_caches.tokens,
        sync_caches.bytes, sync_caches.prefill_seconds, sync_caches.encrypted, sync_caches.created,
        sync_caches.last_used, sync_caches.hits, sync_caches.seconds_saved
    ) AS r (
        key, parent, fingerprint, chunk_index, tokens, bytes, prefill_seconds, encrypted, created, last_used, hits,
        seconds_saved)
    -- In one order, so that daemons on one directory wait for each other and never in a ring.
    ORDER BY r.key
    ON CONFLICT (store_id, key) DO UPDATE SET
        bytes = excluded.bytes, prefill_seconds = excluded.prefill_seconds, encrypted = excluded.encrypted,
        created_at = excluded.created_at, last_used_at = greatest(c.last_used_at, excluded.last_used_at),
        hits = c.hits + excluded.hits, seconds_saved = c.seconds_saved + excluded.seconds_saved
$$;
COMMENT ON FUNCTION deltakv.sync_caches(
    uuid, text[], text[], text[], bigint[], bigint[], bigint[], double precision[], boolean[], double precision[],
    double precision[], bigint[], double precision[]) IS
    'Notes chunks of a cache directory, and adds uses since they were last noted. Keys are hexadecimal, times seconds since 1970.';

CREATE FUNCTION deltakv.known_caches(store_id uuid) RETURNS SETOF text
LANGUAGE sql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT encode(c.key, 'hex') FROM deltakv.caches c WHERE c.store_id = known_caches.store_id $$;
COMMENT ON FUNCTION deltakv.known_caches(uuid) IS 'The keys of the chunks that deltakv.caches has of a directory.';

CREATE FUNCTION deltakv.forget_caches(store_id uuid, keys text[]) RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM deltakv.caches c
    WHERE (c.store_id, c.key) IN (
        SELECT d.store_id, d.key FROM deltakv.caches d
        JOIN unnest(forget_caches.keys) AS k (key) ON d.key = decode(k.key, 'hex')
        WHERE d.store_id = forget_caches.store_id ORDER BY d.key FOR UPDATE OF d)
$$;
COMMENT ON FUNCTION deltakv.forget_caches(uuid, text[]) IS 'Takes chunks off deltakv.caches that are not on the disk any more.';

CREATE VIEW deltakv.dashboard_cache_stores AS
SELECT s.store_id, s.host, s.directory, s.budget_bytes, s.free_bytes, c.chunks, c.tokens, c.bytes, s.hits, m.misses,
    s.seconds_saved, s.bytes_read, s.written, s.bytes_written, s.evicted, s.expired, s.orphaned, s.damaged, s.refused,
    s.first_seen_at, s.synced_at
FROM deltakv.cache_stores s
CROSS JOIN LATERAL (
    SELECT count(*) AS chunks, coalesce(sum(c.tokens), 0) AS tokens, coalesce(sum(c.bytes), 0) AS bytes
    FROM deltakv.caches c WHERE c.store_id = s.store_id) c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.misses), 0) AS misses FROM deltakv.cache_misses m WHERE m.store_id = s.store_id) m;
COMMENT ON VIEW deltakv.dashboard_cache_stores IS
    'Cache directories: what is in them, what they have saved, and why chunks went. misses counts prompts that were not there '
    'to their end, hits chunks.';
CREATE VIEW deltakv.dashboard_caches AS
SELECT c.store_id, left(encode(c.fingerprint, 'hex'), 16) AS fingerprint, c.chunk_index, c.tokens, c.bytes,
    c.prefill_seconds, c.encrypted, c.created_at, c.last_used_at, c.hits, c.seconds_saved
FROM deltakv.caches c;
COMMENT ON VIEW deltakv.dashboard_caches IS
    'Chunks in cache directories, without their keys. One fingerprint is one model with one setting.';
CREATE VIEW deltakv.dashboard_cache_misses AS SELECT * FROM deltakv.cache_misses;
COMMENT ON VIEW deltakv.dashboard_cache_misses IS 'Misses of cache directories by reason.';

DO $$
DECLARE
    signature text;
BEGIN
    FOR signature IN
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'deltakv'::regnamespace
            AND p.proname IN ('sync_cache_store', 'sync_caches', 'known_caches', 'forget_caches')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO deltakv_worker, deltakv_admin', signature);
    END LOOP;
END
$$;
GRANT SELECT ON deltakv.dashboard_cache_stores, deltakv.dashboard_caches, deltakv.dashboard_cache_misses
    TO deltakv_reader, deltakv_admin;
GRANT SELECT ON deltakv.cache_stores, deltakv.caches, deltakv.cache_misses TO deltakv_admin;
