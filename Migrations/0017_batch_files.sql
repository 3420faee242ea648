-- SPDX-License-Identifier: Apache-2.0

-- What an export of a batch reads.

CREATE FUNCTION deltakv.batch_page(batch_id integer, after_job bigint, max_jobs integer)
RETURNS TABLE (
    job_id bigint, custom_id text, model text, output text, choices jsonb, finish_reason text, prompt_tokens integer,
    cached_tokens integer, output_tokens integer, error_code text, error_message text, ended_at timestamptz)
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM deltakv.batches b WHERE b.batch_id = batch_page.batch_id AND deltakv.acts_for(b.tenant);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- All pages together pass once over the record from the batch's first job on.
    RETURN QUERY
    SELECT o.job_id, j.custom_id, j.variables ->> 'model', o.output, o.choices, o.finish_reason, o.prompt_tokens,
        o.cached_tokens, o.output_tokens, o.error_code, o.error_message,
        coalesce(o.completed_at, o.failed_at, o.cancelled_at)
    FROM deltakv.outcomes o JOIN deltakv.jobs j ON j.job_id = o.job_id
    WHERE o.batch_id = batch_page.batch_id AND o.job_id > greatest(batch_page.after_job, (
        SELECT min(f.job_id) - 1 FROM deltakv.jobs f WHERE f.batch_id = batch_page.batch_id AND batch_page.after_job = 0))
    ORDER BY o.job_id LIMIT batch_page.max_jobs;
END
$$;
COMMENT ON FUNCTION deltakv.batch_page(integer, bigint, integer) IS
    'The next jobs of a batch that have ended, in the order of submission, after the job given.';

REVOKE ALL ON FUNCTION deltakv.batch_page(integer, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.batch_page(integer, bigint, integer) TO deltakv_submitter, deltakv_admin;
