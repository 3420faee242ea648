-- SPDX-License-Identifier: Apache-2.0

-- Samples of daemons leave by their age alone, whoever wrote them. Before, those of a vanished daemon stayed for good unless
-- another one reported in the right two hours.

CREATE INDEX worker_samples_age ON deltakv.worker_samples (sampled_at);

CREATE OR REPLACE FUNCTION deltakv.report_load(
    worker_id bigint, seconds double precision, running integer, kv_used_bytes bigint, kv_bytes bigint,
    resident_bytes bigint, prompt_tokens bigint, output_tokens bigint, prefill_seconds double precision,
    decode_seconds double precision, steps bigint, sequence_steps bigint
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    INSERT INTO deltakv.worker_samples AS s VALUES (
        report_load.worker_id, now(), report_load.seconds, report_load.running, report_load.kv_used_bytes,
        report_load.kv_bytes, report_load.resident_bytes, report_load.prompt_tokens, report_load.output_tokens,
        report_load.prefill_seconds, report_load.decode_seconds, report_load.steps, report_load.sequence_steps)
    ON CONFLICT DO NOTHING;
    -- A hundred at a time: more than come, and never long. What another daemon is removing is left to it.
    DELETE FROM deltakv.worker_samples s USING (
        SELECT o.worker_id, o.sampled_at FROM deltakv.worker_samples o
        WHERE o.sampled_at < now() - interval '6 hours' ORDER BY o.sampled_at LIMIT 100 FOR UPDATE SKIP LOCKED) old
    WHERE s.worker_id = old.worker_id AND s.sampled_at = old.sampled_at;
END
$$;
