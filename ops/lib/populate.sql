-- SPDX-License-Identifier: Apache-2.0
-- Fills a migrated, empty database with an hour of made-up work, through the queue's own functions; times are moved back
-- afterwards. For checks of dashboards: ops/check-dashboard and ops/check-grafana.

SELECT setseed(0.5);
CREATE TEMP TABLE daemons AS
SELECT n, deltakv.register_worker(format('node-%s', n), (4000 + n)::integer, '0.1.0') AS worker_id FROM generate_series(1, 4) n;

SELECT count(deltakv.submit('summarize', document => repeat('word ', 200 + n % 900), custom_id => 'report-' || n, batch => 'q3-reports',
    priority => 1)) FROM generate_series(1, 4200) n;
SELECT count(deltakv.submit('summarize', document => repeat('word ', 400), custom_id => 'ticket-' || n, batch => 'support-tickets',
    priority => 5)) FROM generate_series(1, 900) n;
SELECT count(deltakv.submit('ask', document => repeat('clause ', 3000), variables => '{"question": "Who signs?"}',
    custom_id => 'contract-' || n, batch => 'contracts-2026')) FROM generate_series(1, 600) n;
SELECT deltakv.pause('contracts-2026');

DO $$
DECLARE
    minute integer;
    daemon record;
    jobs bigint[];
    tokens bigint[];
    failed integer;
    shift interval;
    last_event bigint;
    last_error bigint;
BEGIN
    FOR minute IN REVERSE 59..0 LOOP
        shift := make_interval(mins => minute);
        SELECT coalesce(max(event_id), 0) INTO last_event FROM deltakv.job_events;
        SELECT coalesce(max(error_id), 0) INTO last_error FROM deltakv.job_errors;
        FOR daemon IN SELECT * FROM daemons WHERE n <= 3 AND (minute NOT BETWEEN 31 AND 34) LOOP
            SELECT array_agg(c.job_id), array_agg(c.token) INTO jobs, tokens
            FROM deltakv.claim_2(daemon.worker_id, 0, (11 + 6 * sin(minute / 7.0) + 3 * random())::integer, interval '1 hour') c;
            CONTINUE WHEN jobs IS NULL;
            failed := CASE WHEN random() < 0.35 THEN 1 ELSE 0 END;
            IF failed > 0 THEN
                PERFORM deltakv.fail(daemon.worker_id, jobs[1:1], tokens[1:1],
                    ARRAY[CASE WHEN random() < 0.7 THEN 'document_too_long' ELSE 'invalid_options' END],
                    ARRAY['made up'], ARRAY[NULL]::jsonb[], ARRAY[false]);
            END IF;
            PERFORM deltakv.complete(daemon.worker_id, r.ids, r.tokens, r.texts, r.reasons, r.prompt, r.cached, r.output,
                r.prefill, r.decode)
            FROM (
                SELECT array_agg(j.id) AS ids, array_agg(j.token) AS tokens, array_agg('text'::text) AS texts, array_agg('stop'::text) AS reasons,
                    array_agg(j.prompt) AS prompt, array_agg(CASE WHEN j.id % 3 = 0 THEN j.prompt * 3 / 4 ELSE 0 END) AS cached,
                    array_agg(80 + (j.id % 120)::integer) AS output, array_agg(j.prompt / 900.0::double precision) AS prefill,
                    array_agg(0.9 + j.id % 7 * 0.1::double precision) AS decode
                FROM (SELECT id, token, 900 + (id * 37 % 2600)::integer AS prompt
                    FROM unnest(jobs[failed + 1:], tokens[failed + 1:]) AS u (id, token)) j
            ) r;
            INSERT INTO deltakv.worker_samples
            SELECT daemon.worker_id, now() - shift - make_interval(secs => 10 * s), 10, 11, (1.3e9 + 2e8 * sin(minute / 7.0) + 1e8 * random())::bigint,
                4294967296, 1250000000 + (random() * 1e6)::bigint, (6200 + 2400 * sin(minute / 7.0) + 500 * random())::bigint,
                (720 + 160 * cos(minute / 9.0) + 60 * random())::bigint, 6.8, 3.1, 70, (70 * (9 + 3 * sin(minute / 7.0)))::bigint
            FROM generate_series(0, 5) s;
        END LOOP;
        UPDATE deltakv.outcomes o SET started_at = o.started_at - shift - make_interval(secs => 4 + 30 * random() ^ 6 * 9 + o.job_id % 11),
            completed_at = o.completed_at - shift, failed_at = o.failed_at - shift
        WHERE o.job_id IN (SELECT job_id FROM deltakv.job_events WHERE event_id > last_event);
        UPDATE deltakv.job_events e SET occurred_at = e.occurred_at - shift
            - CASE WHEN e.event = 'claimed' THEN make_interval(secs => 4 + e.job_id % 11) ELSE interval '0' END
        WHERE e.event_id > last_event;
        UPDATE deltakv.job_errors e SET occurred_at = e.occurred_at - shift WHERE e.error_id > last_error;
        UPDATE deltakv.batch_counts c SET slice = c.slice - shift WHERE c.slice > now() - interval '30 seconds' AND minute > 0;
    END LOOP;
    -- What runs now.
    FOR daemon IN SELECT * FROM daemons WHERE n <= 3 LOOP
        PERFORM deltakv.claim_2(daemon.worker_id, 0, 11, interval '1 hour');
    END LOOP;
END
$$;
UPDATE deltakv.jobs SET submitted_at = submitted_at - interval '64 minutes';
UPDATE deltakv.batches SET created_at = created_at - interval '64 minutes';
UPDATE deltakv.queue SET prompt_tokens_done = 512 * (1 + job_id % 5)::integer, output_tokens_done = (job_id % 60)::integer,
    running_at = running_at - make_interval(secs => job_id % 17) WHERE state = 'running';
UPDATE deltakv.job_events e SET occurred_at = q.running_at FROM deltakv.queue q
WHERE q.job_id = e.job_id AND q.state = 'running' AND e.event = 'claimed';
UPDATE deltakv.batch_counts c SET first_started_at = now() - interval '60 minutes' WHERE c.first_started_at IS NOT NULL;
UPDATE deltakv.workers w SET started_at = w.started_at - interval '3 hours', heartbeat_at = now() + interval '10 minutes'
WHERE w.worker_id IN (SELECT worker_id FROM daemons WHERE n <= 3);
UPDATE deltakv.workers w SET started_at = w.started_at - interval '5 hours', heartbeat_at = now() - interval '26 minutes'
WHERE w.worker_id IN (SELECT worker_id FROM daemons WHERE n = 4);
SELECT deltakv.retire_worker(deltakv.register_worker('node-5', 4711, '0.1.0'));
SELECT deltakv.sync_cache_store(gen_random_uuid(), 'node-1', '/var/cache/deltakv/chunks', 53687091200, 812000000000, 4210, 1878.5,
    910000000, 1730, 388000000, 12, 3, 0, 0, 5, ARRAY['absent', 'partial', 'fingerprint'], ARRAY[1602, 311, 14]);
-- As daemons do now and then: what is older than two minutes goes to deltakv.minutes.
SELECT deltakv.tidy();
