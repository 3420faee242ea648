-- SPDX-License-Identifier: Apache-2.0

-- How finished jobs leave, and how the tables that they leave stay tidy.
--
-- The record is not partitioned. A custom_id is unique in its batch, and a unique index of a partitioned table has to hold the
-- partition's column: by time, the same custom_id could be submitted twice. Nor would it be quicker: what is polled is in
-- deltakv.queue, and speeds do not change with the number of finished jobs (ops/bench/RESULTS.md has the figures, removal
-- included).

CREATE TABLE deltakv.sweep (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
INSERT INTO deltakv.sweep (position) VALUES (0);
COMMENT ON TABLE deltakv.sweep IS
    'The job up to which the record has been searched for old jobs. Each call of deltakv.tidy goes on from there, and begins '
    'again at the end, so that no call reads more than a part.';

CREATE INDEX jobs_document ON deltakv.jobs (document_id) WHERE document_id IS NOT NULL;

CREATE FUNCTION deltakv.remove_old(ended_before timestamptz, max_jobs integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    start bigint;
    searched CONSTANT integer := 4 * max_jobs;
    seen_count bigint;
    last_seen bigint;
    old bigint[];
    documents bigint[];
BEGIN
    SELECT s.position INTO start FROM deltakv.sweep s FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH seen AS MATERIALIZED (
        SELECT o.job_id, coalesce(o.completed_at, o.failed_at, o.cancelled_at) AS ended FROM deltakv.outcomes o
        WHERE o.job_id > start ORDER BY o.job_id LIMIT searched
    )
    SELECT count(*), max(s.job_id), (array_agg(s.job_id ORDER BY s.job_id) FILTER (
        WHERE s.ended < ended_before AND NOT EXISTS (
            SELECT FROM deltakv.dependencies d WHERE d.depends_on = s.job_id
                AND (SELECT q.state FROM deltakv.queue q WHERE q.job_id = d.job_id) IS NOT NULL)
        ))[1:max_jobs]
    INTO seen_count, last_seen, old FROM seen s;
    IF cardinality(old) = max_jobs THEN
        last_seen := old[max_jobs];
    ELSIF seen_count < searched THEN
        last_seen := 0;
    END IF;
    UPDATE deltakv.sweep s SET position = last_seen WHERE s.position <> last_seen;
    IF old IS NULL THEN
        RETURN 0;
    END IF;
    -- Redriven meanwhile is not old any more.
    SELECT array_agg(l.job_id ORDER BY l.job_id) INTO old FROM (
        SELECT o.job_id FROM deltakv.outcomes o WHERE o.job_id = ANY (old) ORDER BY o.job_id FOR UPDATE) l;
    WITH gone AS (
        DELETE FROM deltakv.jobs j WHERE j.job_id = ANY (old) RETURNING j.document_id
    )
    SELECT array_agg(DISTINCT g.document_id) INTO documents FROM gone g WHERE g.document_id IS NOT NULL;
    DELETE FROM deltakv.documents d WHERE d.document_id = ANY (documents)
        AND NOT EXISTS (SELECT FROM deltakv.jobs j WHERE j.document_id = d.document_id);
    DELETE FROM deltakv.job_events e WHERE e.job_id = ANY (old);
    DELETE FROM deltakv.job_errors e WHERE e.job_id = ANY (old);
    DELETE FROM deltakv.job_keys k WHERE k.job_id = ANY (old);
    DELETE FROM deltakv.dependencies d WHERE d.job_id = ANY (old);
    DELETE FROM deltakv.outcomes o WHERE o.job_id = ANY (old);
    RETURN coalesce(cardinality(old), 0);
END
$$;
COMMENT ON FUNCTION deltakv.remove_old(timestamptz, integer) IS
    'Removes jobs that ended before a time, with all that belongs to them: at most max_jobs, of the next part of the record.';

CREATE OR REPLACE FUNCTION deltakv.tidy(retention interval DEFAULT NULL, max_jobs integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    started CONSTANT timestamptz := clock_timestamp();
    removed bigint := 0;
    due record;
BEGIN
    FOR due IN
        DELETE FROM deltakv.follow_ups f USING (
            SELECT l.follow_up_id FROM deltakv.follow_ups l ORDER BY 1 LIMIT 100 FOR UPDATE SKIP LOCKED) l
        WHERE f.follow_up_id = l.follow_up_id RETURNING f.*
    LOOP
        PERFORM deltakv.submit(
            due.job ->> 'template', document => due.job ->> 'document', custom_id => due.job ->> 'custom_id',
            batch => due.job ->> 'batch', options => due.job -> 'options', variables => due.job -> 'variables',
            tenant => due.tenant);
    END LOOP;
    PERFORM deltakv.fold_counts();
    DELETE FROM deltakv.minutes m WHERE m.minute < now() - interval '60 days';
    IF tidy.retention IS NOT NULL AND deltakv.is_time_for('tidy') THEN
        removed := deltakv.remove_old(now() - tidy.retention, tidy.max_jobs);
        PERFORM deltakv.note_done('tidy', started);
    END IF;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION deltakv.tidy(interval, integer) IS
    'What has to be done now and then: submits follow-up jobs, folds counts and, where a retention is given, removes jobs '
    'that ended longer ago, a part of the record at a time. Daemons call it; with a retention only if they are told to.';

-- Where jobs come and go, a fiftieth of dead rows is worth a visit; by default it would be a fifth, of millions.
ALTER TABLE deltakv.jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
ALTER TABLE deltakv.outcomes SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
ALTER TABLE deltakv.job_events SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
ALTER TABLE deltakv.job_errors SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);
ALTER TABLE deltakv.dependencies SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE deltakv.ready_checks SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
GRANT SELECT ON deltakv.sweep TO deltakv_admin;
