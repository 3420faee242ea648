-- SPDX-License-Identifier: Apache-2.0

-- Several outputs of a job, and log-probabilities: options n and logprobs. Kept beside the output, which is the first.

ALTER TABLE deltakv.outcomes ADD COLUMN choices jsonb
    CONSTRAINT outcomes_choices CHECK (
        choices IS NULL OR (completed_at IS NOT NULL AND jsonb_typeof(choices) = 'array'));

CREATE FUNCTION deltakv.complete_with_choices(
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
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT * FROM deltakv.complete(
        complete_with_choices.worker_id, complete_with_choices.job_ids, complete_with_choices.tokens,
        complete_with_choices.outputs, complete_with_choices.finish_reasons, complete_with_choices.prompt_tokens,
        complete_with_choices.cached_tokens, complete_with_choices.output_tokens,
        complete_with_choices.prefill_seconds, complete_with_choices.decode_seconds);
    IF num_nonnulls(VARIADIC complete_with_choices.choices) > 0 THEN
        -- Only what this very attempt has completed, and only once.
        UPDATE deltakv.outcomes o SET choices = r.choices
        FROM unnest(complete_with_choices.job_ids, complete_with_choices.tokens, complete_with_choices.choices)
            AS r (job_id, token, choices)
        WHERE o.job_id = r.job_id AND o.token = r.token AND o.completed_at IS NOT NULL AND o.choices IS NULL
            AND r.choices IS NOT NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.complete_with_choices(
    bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[],
    double precision[], jsonb[]) IS
    'As complete, with all outputs of jobs that asked for several or for log-probabilities; null for others.';

CREATE VIEW deltakv.choices WITH (security_barrier) AS
SELECT
    j.custom_id,
    b.name AS batch,
    j.job_id,
    (c.choice ->> 'index')::integer AS index,
    c.choice ->> 'text' AS output,
    c.choice ->> 'finish_reason' AS finish_reason,
    c.choice -> 'logprobs' AS logprobs
FROM deltakv.outcomes o
JOIN deltakv.jobs j USING (job_id)
JOIN deltakv.batches b ON b.batch_id = j.batch_id
CROSS JOIN LATERAL jsonb_array_elements(o.choices) AS c (choice)
WHERE j.tenant = ANY ((SELECT deltakv.visible_tenants())::text[]);
COMMENT ON VIEW deltakv.choices IS
    'The outputs of jobs that asked for several (option n) or for log-probabilities (option logprobs), one row each: '
    'SELECT output, logprobs FROM deltakv.choices WHERE job_id = 17 ORDER BY index.';
COMMENT ON COLUMN deltakv.choices.logprobs IS
    'A list with an element for each token: token, id, logprob, and top, the likeliest tokens in its place.';

REVOKE ALL ON FUNCTION deltakv.complete_with_choices(
    bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[],
    double precision[], jsonb[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.complete_with_choices(
    bigint, bigint[], bigint[], text[], text[], integer[], integer[], integer[], double precision[],
    double precision[], jsonb[]) TO deltakv_worker, deltakv_admin;
GRANT SELECT ON deltakv.choices TO deltakv_submitter, deltakv_admin;
