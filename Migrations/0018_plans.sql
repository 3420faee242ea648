-- SPDX-License-Identifier: Apache-2.0

-- When the statistics were taken while deltakv.queue was empty, the planner believes that a join is cheapest begun at the queue:
-- a walk over its whole index, which under an old transaction is full of dead rows (measured: 21,000 jobs/s became 470 after
-- ten minutes). A condition that names the jobs makes every such walk a look-up, whatever the statistics say.

DO $$
DECLARE
    change record;
    old_text text;
    new_text text;
BEGIN
    FOR change IN SELECT * FROM (VALUES
        ('promote_due(integer)', 'FROM due WHERE q.job_id = due.job_id', 'ARRAY(SELECT d.job_id FROM due d)'),
        ('start_jobs(bigint, bigint[], interval, interval, bigint, boolean)', 'ON q.job_id = p.job_id', 'start_jobs.job_ids'),
        ('start_jobs(bigint, bigint[], interval, interval, bigint, boolean)', 'WHERE q.job_id = s.job_id', 'start_jobs.job_ids'),
        ('complete(bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[], '
            'double precision[])', 'ON q.job_id = r.job_id AND q.token = r.token', 'complete.job_ids'),
        ('complete(bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[], '
            'double precision[])', 'USING held h WHERE q.job_id = h.job_id', 'complete.job_ids'),
        ('settle(deltakv.verdict[])', 'ON q.job_id = v.job_id', 'ARRAY(SELECT u.job_id FROM unnest(verdicts) u)'),
        ('settle(deltakv.verdict[])', 'WHERE q.job_id = r.job_id AND r.state IN (''available'', ''retryable'')',
            'ARRAY(SELECT u.job_id FROM unnest(verdicts) u)'),
        ('settle(deltakv.verdict[])', 'WHERE q.job_id = r.job_id AND r.state IN (''failed'', ''cancelled'')',
            'ARRAY(SELECT u.job_id FROM unnest(verdicts) u)'),
        ('fail(bigint, bigint[], bigint[], text[], text[], jsonb[], boolean[])',
            'ON q.job_id = r.job_id AND q.token = r.token', 'fail.job_ids'),
        ('release(bigint, bigint[], bigint[])', 'ON q.job_id = r.job_id AND q.token = r.token', 'release.job_ids'),
        ('heartbeat(bigint, interval, bigint[], bigint[], integer[], integer[])',
            'ON q.job_id = r.job_id AND q.token = r.token', 'heartbeat.job_ids'),
        ('heartbeat(bigint, interval, bigint[], bigint[], integer[], integer[])', 'WHERE q.job_id = h.job_id',
            'heartbeat.job_ids'),
        ('rescue(integer)', 'FROM ruled r WHERE q.job_id = r.job_id', 'ARRAY(SELECT l.job_id FROM ruled l)')
    ) c (signature, condition, jobs) LOOP
        old_text := pg_get_functiondef(('deltakv.' || change.signature)::regprocedure);
        new_text := replace(old_text, change.condition, change.condition || ' AND q.job_id = ANY (' || change.jobs || ')');
        -- Once and once only, or the file does not fit the functions that it is for.
        IF length(new_text) - length(old_text) <> length(change.jobs) + length(' AND q.job_id = ANY ()') THEN
            RAISE internal_error USING MESSAGE = format('%s does not have "%s" once', change.signature, change.condition);
        END IF;
        EXECUTE new_text;
    END LOOP;
END
$$;
