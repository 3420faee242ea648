-- SPDX-License-Identifier: Apache-2.0

-- Keeps deltakv.batch_counters equal to what a count of deltakv.outcomes would give, and tells listeners when a batch ends.
-- Both follow from changes of the record, in one place, whichever function made them.

CREATE FUNCTION deltakv.count_outcomes() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    -- Eight rows a batch: more would make reading progress dearer, fewer would make workers wait.
    own_shard CONSTANT smallint := pg_backend_pid() % 8;
    sign CONSTANT integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
    batch integer;
BEGIN
    INSERT INTO deltakv.batch_counters AS c (
        batch_id, shard, completed, failed, cancelled, prompt_tokens, cached_tokens, output_tokens, first_started_at,
        last_finished_at)
    SELECT o.batch_id, own_shard,
        sign * count(o.completed_at), sign * count(o.failed_at), sign * count(o.cancelled_at),
        sign * coalesce(sum(o.prompt_tokens), 0), sign * coalesce(sum(o.cached_tokens), 0),
        sign * coalesce(sum(o.output_tokens), 0),
        min(o.started_at), max(coalesce(o.completed_at, o.failed_at, o.cancelled_at))
    FROM changed o
    GROUP BY o.batch_id
    ORDER BY o.batch_id
    ON CONFLICT (batch_id, shard) DO UPDATE SET
        completed = c.completed + excluded.completed,
        failed = c.failed + excluded.failed,
        cancelled = c.cancelled + excluded.cancelled,
        prompt_tokens = c.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = c.cached_tokens + excluded.cached_tokens,
        output_tokens = c.output_tokens + excluded.output_tokens,
        first_started_at = least(c.first_started_at, excluded.first_started_at),
        last_finished_at = greatest(c.last_finished_at, excluded.last_finished_at);

    IF TG_OP = 'INSERT' THEN
        FOR batch IN SELECT DISTINCT o.batch_id FROM changed o ORDER BY o.batch_id LOOP
            PERFORM deltakv.announce_if_finished(batch);
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.count_outcomes() IS
    'Adds to deltakv.batch_counters what a statement changed in deltakv.outcomes.';

CREATE FUNCTION deltakv.has_unfinished(batch_id integer, more_than integer) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    -- From the newest on: in the index, dead rows of ended jobs mostly lie before those of the others.
    PERFORM FROM deltakv.queue q WHERE q.batch_id = has_unfinished.batch_id
    ORDER BY q.job_id DESC OFFSET has_unfinished.more_than LIMIT 1;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION deltakv.has_unfinished(integer, integer) IS 'Whether more than that many jobs of a batch have not ended.';

-- Of two transactions that end a batch's last two jobs at the same time, neither sees the other's. So whoever sees few
-- jobs left takes the batch's lock for itself before it looks: the last one through sees the truth. Whoever sees many
-- left need not wait for others; it shares the lock, so that those who come after wait for it.
CREATE FUNCTION deltakv.announce_if_finished(batch_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Sets these advisory locks apart from those of other programs: "dkvb" in ASCII.
    lock_class CONSTANT integer := 1684764258;
    many CONSTANT integer := 100;
BEGIN
    IF deltakv.has_unfinished(batch_id, many) AND pg_try_advisory_xact_lock_shared(lock_class, batch_id)
        AND deltakv.has_unfinished(batch_id, many)
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(lock_class, batch_id);
    IF NOT deltakv.has_unfinished(batch_id, 0) THEN
        -- The number, not the name: any login may listen, and a payload of more than 8,000 bytes would be an error.
        PERFORM pg_notify('deltakv_batch', batch_id::text);
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.announce_if_finished(integer) IS
    'Sends the batch''s number to listeners on deltakv_batch when none of its jobs is left in the queue.';

CREATE TRIGGER count_new_outcomes AFTER INSERT ON deltakv.outcomes REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.count_outcomes();
CREATE TRIGGER count_withdrawn_outcomes AFTER DELETE ON deltakv.outcomes REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.count_outcomes();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
