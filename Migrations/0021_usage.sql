-- SPDX-License-Identifier: Apache-2.0

-- What a cache did for each job, and what a job was given and gave, for whoever may read it and wants to run it again.

ALTER TABLE deltakv.outcomes
    ADD COLUMN seconds_saved double precision,
    ADD COLUMN cache_miss text,
    ADD COLUMN resumed_tokens integer,
    ADD CONSTRAINT outcomes_cache CHECK (
        num_nonnulls(seconds_saved, cache_miss, resumed_tokens) <= 3 * num_nonnulls(completed_at)
        AND least(seconds_saved, resumed_tokens) >= 0 AND cache_miss ~ '^[a-z_]{1,40}$');
COMMENT ON COLUMN deltakv.outcomes.seconds_saved IS 'What cached_tokens had cost when they were computed.';
COMMENT ON COLUMN deltakv.outcomes.cache_miss IS
    'Why the first part of the prompt that might have been cached was not found, in the words of deltakv.cache_misses; null '
    'where all was found or nothing was looked for.';
COMMENT ON COLUMN deltakv.outcomes.resumed_tokens IS
    'How many of output_tokens an attempt before the last had generated, and so were not generated again.';

CREATE FUNCTION deltakv.complete_2(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    outputs text[],
    finish_reasons text[],
    prompt_tokens integer[],
    cached_tokens integer[],
    output_tokens integer[],
    prefill_seconds double precision[],
    decode_seconds double precision[],
    choices jsonb[] DEFAULT '{}',
    seconds_saved double precision[] DEFAULT '{}',
    cache_misses text[] DEFAULT '{}',
    resumed_tokens integer[] DEFAULT '{}'
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    done bigint[];
BEGIN
    WITH results AS MATERIALIZED (
        SELECT r.* FROM unnest(
            complete_2.job_ids, complete_2.tokens, complete_2.outputs, complete_2.finish_reasons, complete_2.prompt_tokens,
            complete_2.cached_tokens, complete_2.output_tokens, complete_2.prefill_seconds, complete_2.decode_seconds,
            complete_2.choices, complete_2.seconds_saved, complete_2.cache_misses, complete_2.resumed_tokens
        ) AS r (
            job_id, token, output, finish_reason, prompt_tokens, cached_tokens, output_tokens, prefill_seconds,
            decode_seconds, choices, seconds_saved, cache_miss, resumed_tokens)
    ), held AS MATERIALIZED (
        SELECT r.*
        FROM results r JOIN deltakv.queue q ON q.job_id = r.job_id AND q.token = r.token
        ORDER BY q.job_id
        FOR UPDATE OF q
    ), removed AS (
        DELETE FROM deltakv.queue q USING held h WHERE q.job_id = h.job_id
        RETURNING q.batch_id, q.attempt, q.running_at, q.worker_id, h.*
    ), recorded AS (
        INSERT INTO deltakv.outcomes (
            job_id, batch_id, state, attempts, started_at, completed_at, worker_id, token, prompt_tokens, cached_tokens,
            output_tokens, prefill_seconds, decode_seconds, finish_reason, output, choices, seconds_saved, cache_miss,
            resumed_tokens)
        SELECT d.job_id, d.batch_id, 'completed', d.attempt, d.running_at, now(), d.worker_id, d.token, d.prompt_tokens,
            d.cached_tokens, d.output_tokens, d.prefill_seconds, d.decode_seconds, d.finish_reason, d.output, d.choices,
            d.seconds_saved, d.cache_miss, d.resumed_tokens
        FROM removed d
        RETURNING job_id, worker_id, token, attempts
    ), logged AS (
        INSERT INTO deltakv.job_events (job_id, worker_id, token, attempt, event)
        SELECT w.job_id, w.worker_id, w.token, w.attempts, 'completed' FROM recorded w
    )
    SELECT array_agg(w.job_id) INTO done FROM recorded w;

    RETURN QUERY SELECT * FROM deltakv.answer(
        complete_2.worker_id, complete_2.job_ids, complete_2.tokens, done,
        array_fill('completed'::deltakv.job_state, ARRAY[coalesce(cardinality(done), 0)]));
END
$$;
COMMENT ON FUNCTION deltakv.complete_2(
    bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[],
    double precision[], jsonb[], double precision[], text[], integer[]) IS
    'Writes results and takes their jobs out of the queue, in one transaction: each job completes once. Element i of '
    'every array belongs to the same job; choices are for jobs that asked for several outputs or for log-probabilities.';

-- What daemons before this migration call: the same signatures, meaning and rows as ever.
CREATE OR REPLACE FUNCTION deltakv.complete(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    outputs text[],
    finish_reasons text[],
    prompt_tokens integer[],
    cached_tokens integer[],
    output_tokens integer[],
    prefill_seconds double precision[],
    decode_seconds double precision[]
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM deltakv.complete_2(
        complete.worker_id, complete.job_ids, complete.tokens, complete.outputs, complete.finish_reasons,
        complete.prompt_tokens, complete.cached_tokens, complete.output_tokens, complete.prefill_seconds,
        complete.decode_seconds)
$$;
CREATE OR REPLACE FUNCTION deltakv.complete_with_choices(
    worker_id bigint,
    job_ids bigint[],
    tokens bigint[],
    outputs text[],
    finish_reasons text[],
    prompt_tokens integer[],
    cached_tokens integer[],
    output_tokens integer[],
    prefill_seconds double precision[],
    decode_seconds double precision[],
    choices jsonb[]
) RETURNS TABLE (job_id bigint, state deltakv.job_state)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM deltakv.complete_2(
        complete_with_choices.worker_id, complete_with_choices.job_ids, complete_with_choices.tokens,
        complete_with_choices.outputs, complete_with_choices.finish_reasons, complete_with_choices.prompt_tokens,
        complete_with_choices.cached_tokens, complete_with_choices.output_tokens,
        complete_with_choices.prefill_seconds, complete_with_choices.decode_seconds, complete_with_choices.choices)
$$;

CREATE OR REPLACE VIEW deltakv.results WITH (security_barrier) AS
SELECT
    j.custom_id,
    b.name AS batch,
    j.job_id,
    coalesce(o.state, q.state) AS state,
    o.output,
    o.finish_reason,
    coalesce(o.prompt_tokens, q.prompt_tokens_done) AS prompt_tokens,
    o.cached_tokens,
    coalesce(o.output_tokens, q.output_tokens_done) AS output_tokens,
    o.prefill_seconds,
    o.decode_seconds,
    o.error_code || ': ' || o.error_message AS error,
    o.error_code,
    o.error_message,
    o.error_detail,
    j.template,
    j.tenant,
    coalesce(q.priority, j.priority) AS priority,
    coalesce(o.attempts, q.attempt) AS attempts,
    j.max_attempts,
    coalesce(o.worker_id, q.worker_id) AS worker_id,
    j.submitted_at,
    CASE WHEN isfinite(q.run_at) THEN q.run_at ELSE j.run_at END AS run_at,
    coalesce(o.started_at, q.running_at) AS started_at,
    o.completed_at,
    o.failed_at,
    o.cancelled_at,
    q.cancel_requested_at,
    j.tags,
    j.template_version,
    j.deadline,
    b.paused_at,
    o.seconds_saved,
    o.cache_miss,
    o.resumed_tokens
FROM deltakv.jobs j
JOIN deltakv.batches b USING (batch_id)
LEFT JOIN deltakv.outcomes o USING (job_id)
LEFT JOIN deltakv.queue q USING (job_id)
WHERE j.tenant = ANY ((SELECT deltakv.visible_tenants())::text[]);
COMMENT ON COLUMN deltakv.results.seconds_saved IS 'What cached_tokens had cost when they were computed.';
COMMENT ON COLUMN deltakv.results.cache_miss IS
    'Why the first part of the prompt that might have been cached was not found: absent, fingerprint (stored for another model '
    'or setting), salt, expired, partial, checksum, format, unreadable.';
COMMENT ON COLUMN deltakv.results.resumed_tokens IS
    'How many of output_tokens an attempt before the last had generated, and so were not generated again.';

CREATE OR REPLACE VIEW deltakv.dashboard_jobs AS
SELECT j.job_id, b.name AS batch, j.tenant, j.custom_id, j.template, coalesce(o.state, q.state) AS state,
    coalesce(q.priority, j.priority) AS priority, coalesce(o.attempts, q.attempt) AS attempts, j.max_attempts,
    coalesce(o.worker_id, q.worker_id) AS worker_id, coalesce(o.prompt_tokens, q.prompt_tokens_done) AS prompt_tokens,
    o.cached_tokens, coalesce(o.output_tokens, q.output_tokens_done) AS output_tokens, o.prefill_seconds,
    o.decode_seconds, o.finish_reason, o.error_code, j.submitted_at,
    CASE WHEN isfinite(q.run_at) THEN q.run_at ELSE j.run_at END AS run_at,
    coalesce(o.started_at, q.running_at) AS started_at, q.cancel_requested_at,
    coalesce(o.completed_at, o.failed_at, o.cancelled_at) AS finished_at, b.paused_at,
    o.seconds_saved, o.cache_miss, o.resumed_tokens
FROM deltakv.jobs j
JOIN deltakv.batches b USING (batch_id)
LEFT JOIN deltakv.outcomes o USING (job_id)
LEFT JOIN deltakv.queue q USING (job_id);

CREATE FUNCTION deltakv.recorded_job(job_id bigint) RETURNS TABLE (
    tenant text, state deltakv.job_state, template text, document text, options jsonb, variables jsonb, messages jsonb,
    submitted_at timestamptz, template_body jsonb, outputs text[], finish_reason text)
LANGUAGE sql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.tenant, coalesce(o.state, q.state), j.template, deltakv.document_of(j), j.options, j.variables, j.messages,
        j.submitted_at,
        (SELECT t.body FROM deltakv.templates t WHERE t.name = j.template AND t.version = j.template_version),
        CASE WHEN o.choices IS NULL THEN ARRAY[o.output]
            ELSE ARRAY(
                SELECT c.choice ->> 'text' FROM jsonb_array_elements(o.choices) WITH ORDINALITY AS c (choice, place)
                ORDER BY c.place) END,
        o.finish_reason
    FROM deltakv.jobs j
    LEFT JOIN deltakv.outcomes o ON o.job_id = j.job_id
    LEFT JOIN deltakv.queue q ON q.job_id = j.job_id
    WHERE j.job_id = recorded_job.job_id AND deltakv.sees(j.tenant)
$$;
COMMENT ON FUNCTION deltakv.recorded_job(bigint) IS
    'What a job was given, as a worker gets it, and what came of it: for running it again. Only for who may see the job.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.complete_2(
    bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[],
    double precision[], jsonb[], double precision[], text[], integer[]) TO deltakv_worker, deltakv_admin;
GRANT EXECUTE ON FUNCTION deltakv.recorded_job(bigint) TO deltakv_submitter, deltakv_admin;
