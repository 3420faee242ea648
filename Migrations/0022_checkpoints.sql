-- SPDX-License-Identifier: Apache-2.0

-- How far long outputs have come, so that an attempt that is cut short need not be made again from its first token.

CREATE TABLE deltakv.checkpoints (
    job_id bigint PRIMARY KEY,
    fingerprint bytea NOT NULL CONSTRAINT checkpoints_fingerprint CHECK (octet_length(fingerprint) = 32),
    output integer[] NOT NULL CONSTRAINT checkpoints_output CHECK (cardinality(output) > 0),
    saved_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE deltakv.checkpoints IS
    'The tokens of outputs that are not finished, as their workers last wrote them down; gone when the job leaves '
    'deltakv.queue.';
COMMENT ON COLUMN deltakv.checkpoints.fingerprint IS
    'Stands for all that decides the output (model, settings, prompt, options) and for the tokens: a worker for which it '
    'would be another begins anew.';
ALTER TABLE deltakv.checkpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON deltakv.checkpoints USING (EXISTS (
    SELECT FROM deltakv.jobs j WHERE j.job_id = checkpoints.job_id AND deltakv.sees(j.tenant)));

-- Rows of this table are locked by those only who hold the job's row of deltakv.queue.
CREATE FUNCTION deltakv.save_checkpoints(job_ids bigint[], tokens bigint[], fingerprints text[], outputs text[]) RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
    WITH held AS MATERIALIZED (
        SELECT q.job_id, r.fingerprint, r.output
        FROM unnest(
            save_checkpoints.job_ids, save_checkpoints.tokens, save_checkpoints.fingerprints, save_checkpoints.outputs
        ) AS r (job_id, token, fingerprint, output)
        JOIN deltakv.queue q ON q.job_id = r.job_id AND q.token = r.token
        ORDER BY q.job_id
        FOR UPDATE OF q
    )
    INSERT INTO deltakv.checkpoints AS c (job_id, fingerprint, output)
    SELECT h.job_id, decode(h.fingerprint, 'hex'), h.output::integer[] FROM held h
    ON CONFLICT (job_id) DO UPDATE SET
        fingerprint = excluded.fingerprint, output = excluded.output, saved_at = excluded.saved_at
$$;
COMMENT ON FUNCTION deltakv.save_checkpoints(bigint[], bigint[], text[], text[]) IS
    'Writes down how far the outputs of running jobs have come: for each the fencing token, the fingerprint in hexadecimal, and '
    'the tokens as an array. Passes over jobs whose lease was lost.';

CREATE FUNCTION deltakv.forget_checkpoints() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF EXISTS (SELECT FROM deltakv.checkpoints) THEN
        DELETE FROM deltakv.checkpoints c WHERE c.job_id = ANY (ARRAY(SELECT o.job_id FROM before_rows o));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.forget_checkpoints() IS 'Removes checkpoints of jobs that leave deltakv.queue.';
CREATE TRIGGER forget_checkpoints AFTER DELETE ON deltakv.queue REFERENCING OLD TABLE AS before_rows
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.forget_checkpoints();

CREATE FUNCTION deltakv.claim_4(
    worker_id bigint, holding integer, max_jobs integer, lease interval, attempt_timeout interval DEFAULT NULL,
    max_input_bytes bigint DEFAULT NULL, prefixes bigint[] DEFAULT '{}'
) RETURNS TABLE (
    job_id bigint, token bigint, attempt integer, max_attempts integer, attempt_deadline timestamptz, tenant text,
    batch text, custom_id text, template text, document text, options jsonb, variables jsonb, submitted_at timestamptz,
    template_body jsonb, messages jsonb, alone boolean, prefix_key bigint, checkpoint_fingerprint text,
    checkpoint_output integer[])
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT c.*, (SELECT encode(p.fingerprint, 'hex') FROM deltakv.checkpoints p WHERE p.job_id = c.job_id),
        (SELECT p.output FROM deltakv.checkpoints p WHERE p.job_id = c.job_id)
    FROM deltakv.claim_3(
        claim_4.worker_id, claim_4.holding, claim_4.max_jobs, claim_4.lease, claim_4.attempt_timeout,
        claim_4.max_input_bytes, claim_4.prefixes) c
$$;
COMMENT ON FUNCTION deltakv.claim_4(bigint, integer, integer, interval, interval, bigint, bigint[]) IS
    'As claim_3, with the checkpoint of each job that an earlier attempt has left.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.save_checkpoints(bigint[], bigint[], text[], text[]),
    deltakv.claim_4(bigint, integer, integer, interval, interval, bigint, bigint[]) TO deltakv_worker, deltakv_admin;
