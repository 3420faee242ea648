-- SPDX-License-Identifier: Apache-2.0

-- The tables of the queue.
--
-- deltakv.jobs and deltakv.outcomes are the record: what was asked, written once at submission, and how it ended,
-- written once at the end. Neither row is ever updated, so that millions of them need no cleaning.
-- deltakv.queue is what workers poll: one narrow row per job that has not ended, gone when it ends. Everything that
-- changes while a job waits and runs changes there.
--
-- Locks are taken in one order everywhere: queue rows by job_id, then outcomes by job_id, then batch_counters by
-- (batch_id, shard), then the batches' advisory locks by batch_id. A function that keeps to it cannot deadlock with the others.
--
-- Functions that a running daemon calls never change their signature or meaning in a later migration; a new version gets
-- a new name, so that an old daemon goes on working beside a new one.

CREATE SCHEMA IF NOT EXISTS deltakv;
REVOKE ALL ON SCHEMA deltakv FROM PUBLIC;
COMMENT ON SCHEMA deltakv IS 'Bulk language model jobs: submit them, watch them, read their results.';

CREATE TYPE deltakv.job_state AS ENUM (
    'scheduled', 'available', 'running', 'retryable', 'completed', 'failed', 'cancelled');
COMMENT ON TYPE deltakv.job_state IS
    'scheduled (waits for its time), available (may start), running, retryable (waits to be tried again after an '
    'error); and the three ends completed, failed, cancelled.';

CREATE TABLE deltakv.batches (
    batch_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, tenant)
) WITH (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1);
COMMENT ON TABLE deltakv.batches IS 'Named groups of jobs. A batch comes into being with its first job.';
COMMENT ON COLUMN deltakv.batches.tenant IS 'Who the batch belongs to; two tenants may use the same name.';

CREATE TABLE deltakv.jobs (
    job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id integer NOT NULL,
    priority integer NOT NULL,
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    submitted_at timestamptz NOT NULL DEFAULT now(),
    run_at timestamptz NOT NULL,
    tenant text NOT NULL,
    custom_id text,
    template text NOT NULL,
    options jsonb NOT NULL,
    variables jsonb NOT NULL,
    document text,
    UNIQUE (batch_id, custom_id)
) WITH (
    -- Long texts out of the row: what lists jobs reads few pages.
    toast_tuple_target = 256,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON TABLE deltakv.jobs IS 'What was asked, one row per job, never changed. Read deltakv.results for how it went.';
COMMENT ON COLUMN deltakv.jobs.priority IS 'Larger numbers run first; among equals the oldest job does.';
COMMENT ON COLUMN deltakv.jobs.max_attempts IS 'How often the job is tried before an error that may pass ends it.';
COMMENT ON COLUMN deltakv.jobs.run_at IS 'The job does not start before this time.';
COMMENT ON COLUMN deltakv.jobs.tenant IS 'Who submitted the job; the submitter''s role unless they said otherwise.';
COMMENT ON COLUMN deltakv.jobs.custom_id IS 'The submitter''s own name for the job, unique in its batch.';
COMMENT ON COLUMN deltakv.jobs.template IS 'The name of the job template, such as summarize.';
COMMENT ON COLUMN deltakv.jobs.options IS
    'Overrides of the template''s sampling and limits, as submitted; a worker checks them and fails the job if they '
    'are no good.';
COMMENT ON COLUMN deltakv.jobs.variables IS 'Values for the variables in the template, as submitted.';

CREATE TABLE deltakv.outcomes (
    job_id bigint PRIMARY KEY,
    batch_id integer NOT NULL,
    state deltakv.job_state NOT NULL,
    attempts integer NOT NULL CHECK (attempts >= 0),
    started_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    cancelled_at timestamptz,
    worker_id bigint,
    token bigint,
    prompt_tokens integer,
    cached_tokens integer,
    output_tokens integer,
    prefill_seconds double precision,
    decode_seconds double precision,
    finish_reason text,
    error_code text,
    error_message text,
    error_detail jsonb,
    output text,
    -- The one timestamp set is that of the state.
    CONSTRAINT outcomes_state CHECK (
        num_nonnulls(completed_at, failed_at, cancelled_at) = 1
        AND CASE state
            WHEN 'completed' THEN completed_at
            WHEN 'failed' THEN failed_at
            WHEN 'cancelled' THEN cancelled_at
        END IS NOT NULL),
    -- A completed job was run and has a whole result; no other job has any part of one.
    CONSTRAINT outcomes_result CHECK (
        num_nonnulls(output, finish_reason, prompt_tokens, cached_tokens, output_tokens, prefill_seconds,
            decode_seconds) = 7 * num_nonnulls(completed_at)
        AND num_nonnulls(started_at, worker_id, token) >= 3 * num_nonnulls(completed_at)),
    CONSTRAINT outcomes_usage CHECK (
        least(prompt_tokens, cached_tokens, output_tokens, prefill_seconds, decode_seconds) >= 0
        AND cached_tokens <= prompt_tokens),
    -- A failed job says why; no other job has an error.
    CONSTRAINT outcomes_error CHECK (
        num_nonnulls(error_code, error_message) = 2 * num_nonnulls(failed_at)
        AND num_nonnulls(error_detail) <= num_nonnulls(failed_at))
) WITH (
    toast_tuple_target = 256,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
CREATE INDEX outcomes_failed ON deltakv.outcomes (batch_id, job_id) WHERE failed_at IS NOT NULL;
COMMENT ON TABLE deltakv.outcomes IS
    'How each job ended, one row per finished job. The key makes a second result for a job impossible.';
COMMENT ON COLUMN deltakv.outcomes.attempts IS
    'Attempts charged when the job ended. Attempts cut short by a restart or a lost worker are not.';
COMMENT ON COLUMN deltakv.outcomes.started_at IS 'When the last attempt began; null if the job was not running.';
COMMENT ON COLUMN deltakv.outcomes.worker_id IS 'Who made the last attempt.';
COMMENT ON COLUMN deltakv.outcomes.token IS 'The fencing token of the last attempt.';
COMMENT ON COLUMN deltakv.outcomes.cached_tokens IS 'How many of prompt_tokens came from a cache and cost no prefill.';
COMMENT ON COLUMN deltakv.outcomes.prefill_seconds IS 'This job''s share of the time its worker spent on prompts.';
COMMENT ON COLUMN deltakv.outcomes.decode_seconds IS 'This job''s share of the time its worker spent on output.';
COMMENT ON COLUMN deltakv.outcomes.finish_reason IS 'Why the output ended: stop or length.';
COMMENT ON COLUMN deltakv.outcomes.error_code IS
    'What went wrong, for programs: a short word such as interrupted_too_often.';

-- Documents are compressed at submission; LZ4 costs a tenth of the default's time where the server has it.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_settings
        WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
    ) THEN
        ALTER TABLE deltakv.jobs
            ALTER COLUMN document SET COMPRESSION lz4, ALTER COLUMN variables SET COMPRESSION lz4;
        ALTER TABLE deltakv.outcomes ALTER COLUMN output SET COMPRESSION lz4;
    END IF;
END
$$;

CREATE TABLE deltakv.queue (
    job_id bigint PRIMARY KEY,
    available_at timestamptz,
    scheduled_at timestamptz,
    running_at timestamptz,
    retryable_at timestamptz,
    run_at timestamptz NOT NULL,
    token bigint,
    worker_id bigint,
    lease_expires_at timestamptz,
    attempt_deadline timestamptz,
    cancel_requested_at timestamptz,
    batch_id integer NOT NULL,
    priority integer NOT NULL,
    input_bytes integer NOT NULL,
    state deltakv.job_state NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    interruptions integer NOT NULL DEFAULT 0,
    prompt_tokens_done integer,
    output_tokens_done integer,
    tenant text NOT NULL,
    -- PostgreSQL reads the text of every CHECK again for every INSERT statement, so they are few and terse:
    -- num_nonnulls(x) is 1 or 0 for whether x is set.
    -- The one timestamp set is that of the state.
    CONSTRAINT queue_state CHECK (
        num_nonnulls(scheduled_at, available_at, running_at, retryable_at) = 1
        AND CASE state
            WHEN 'scheduled' THEN scheduled_at
            WHEN 'available' THEN available_at
            WHEN 'running' THEN running_at
            WHEN 'retryable' THEN retryable_at
        END IS NOT NULL),
    -- A running job has a whole lease; no other job has any part of one.
    CONSTRAINT queue_lease CHECK (
        num_nonnulls(token, worker_id, lease_expires_at, prompt_tokens_done, output_tokens_done)
            = 5 * num_nonnulls(running_at)
        AND num_nonnulls(attempt_deadline, cancel_requested_at) <= 2 * num_nonnulls(running_at)),
    -- The running attempt is counted, a retryable job has had one, and a waiting job has at least one left.
    CONSTRAINT queue_attempt CHECK (
        attempt >= num_nonnulls(running_at, retryable_at)
        AND attempt < max_attempts + num_nonnulls(running_at)
        AND attempt * num_nonnulls(scheduled_at) = 0),
    CONSTRAINT queue_counts CHECK (
        least(input_bytes, interruptions, prompt_tokens_done, output_tokens_done) >= 0)
) WITH (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);
-- Columns that a heartbeat writes are in no index and no predicate: it stays a heap-only update.
CREATE INDEX queue_available ON deltakv.queue (priority DESC, job_id) WHERE state = 'available';
CREATE INDEX queue_due ON deltakv.queue (run_at) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX queue_running ON deltakv.queue (job_id) WHERE state = 'running';
CREATE INDEX queue_batch ON deltakv.queue (batch_id, job_id);
COMMENT ON TABLE deltakv.queue IS
    'The jobs that have not ended, and where each one stands. Workers change it through functions only.';
COMMENT ON COLUMN deltakv.queue.run_at IS 'A scheduled or retryable job becomes available at this time.';
COMMENT ON COLUMN deltakv.queue.token IS
    'The fencing token of the running attempt. Every claim gets a larger one; a write with any other is refused.';
COMMENT ON COLUMN deltakv.queue.lease_expires_at IS
    'The worker must renew its lease by then, or the job is given to another.';
COMMENT ON COLUMN deltakv.queue.attempt_deadline IS 'The attempt fails when it is still running then; null for never.';
COMMENT ON COLUMN deltakv.queue.cancel_requested_at IS 'When somebody cancelled the job while it ran.';
COMMENT ON COLUMN deltakv.queue.input_bytes IS 'Bytes of document and variables: how much work the job may be.';
COMMENT ON COLUMN deltakv.queue.prompt_tokens_done IS 'Progress of the running attempt, as of its last heartbeat.';
COMMENT ON COLUMN deltakv.queue.output_tokens_done IS 'Progress of the running attempt, as of its last heartbeat.';
COMMENT ON COLUMN deltakv.queue.attempt IS 'Attempts charged so far, the running one included.';
COMMENT ON COLUMN deltakv.queue.interruptions IS 'How often the job''s worker vanished while it ran.';

CREATE SEQUENCE deltakv.fencing_token;
COMMENT ON SEQUENCE deltakv.fencing_token IS 'Grows with every claim; never set back.';

CREATE TABLE deltakv.batch_counters (
    batch_id integer NOT NULL,
    shard smallint NOT NULL,
    completed bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    prompt_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    first_started_at timestamptz,
    last_finished_at timestamptz,
    PRIMARY KEY (batch_id, shard)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE deltakv.batch_counters IS
    'Finished jobs and their tokens by batch, kept up to date so that nothing has to count deltakv.outcomes.';
COMMENT ON COLUMN deltakv.batch_counters.shard IS
    'Each connection adds to one of a few rows, so that workers on one batch seldom wait for each other. '
    'A single row may be below zero; their sum never is.';

CREATE TABLE deltakv.workers (
    worker_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz,
    fenced_writes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE deltakv.workers IS 'Every daemon that has run, and when it was last heard of.';
COMMENT ON COLUMN deltakv.workers.stopped_at IS 'When it stopped in good order; null while it runs or if it vanished.';
COMMENT ON COLUMN deltakv.workers.fenced_writes IS 'Writes refused because the worker had lost its lease on the job.';

CREATE TABLE deltakv.job_errors (
    error_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL,
    worker_id bigint,
    code text NOT NULL,
    message text NOT NULL,
    detail jsonb
);
CREATE INDEX job_errors_job ON deltakv.job_errors (job_id);
COMMENT ON TABLE deltakv.job_errors IS 'Every error of every attempt, kept when the job is retried and redriven.';

CREATE TABLE deltakv.job_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    worker_id bigint,
    token bigint,
    attempt integer,
    event text NOT NULL CHECK (event IN (
        'claimed', 'completed', 'failed', 'retried', 'released', 'rescued', 'cancel_requested', 'cancelled',
        'redriven', 'fenced')),
    code text
);
CREATE INDEX job_events_job ON deltakv.job_events (job_id);
COMMENT ON TABLE deltakv.job_events IS
    'What happened to jobs after submission, and when. Holds no text of documents or outputs.';
COMMENT ON COLUMN deltakv.job_events.code IS 'The error''s code, where an error was the reason.';
