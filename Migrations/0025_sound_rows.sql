-- SPDX-License-Identifier: Apache-2.0

-- What a row of the queue may look like, in one function instead of four expressions: a table's constraints are read from their stored
-- form and planned anew by every statement, which was a quarter of what a submission cost; a function is prepared once a session.
-- It sets no search_path, which would cost as much again: only the owner can write to the table, by functions that have set theirs.

CREATE FUNCTION deltakv.is_sound(job deltakv.queue) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN
        -- The time that belongs to the state, and no other.
        num_nonnulls(job.scheduled_at, job.available_at, job.running_at, job.retryable_at) = 1
        AND CASE job.state
            WHEN 'scheduled' THEN job.scheduled_at
            WHEN 'available' THEN job.available_at
            WHEN 'running' THEN job.running_at
            WHEN 'retryable' THEN job.retryable_at
        END IS NOT NULL
        -- All of a lease while the job runs, and nothing of it otherwise.
        AND num_nonnulls(
            job.token, job.worker_id, job.lease_expires_at, job.prompt_tokens_done, job.output_tokens_done)
            = 5 * num_nonnulls(job.running_at)
        AND num_nonnulls(job.attempt_deadline, job.cancel_requested_at) <= 2 * num_nonnulls(job.running_at)
        -- Attempts are counted when they begin, and none is begun beyond the last.
        AND job.attempt >= num_nonnulls(job.running_at, job.retryable_at)
        AND job.attempt < job.max_attempts + num_nonnulls(job.running_at)
        AND job.attempt * num_nonnulls(job.scheduled_at) = 0
        AND least(job.input_bytes, job.interruptions, job.prompt_tokens_done, job.output_tokens_done) >= 0;
END
$$;
COMMENT ON FUNCTION deltakv.is_sound(deltakv.queue) IS 'Whether a row of the queue is one that can be.';
REVOKE ALL ON FUNCTION deltakv.is_sound(deltakv.queue) FROM PUBLIC;

ALTER TABLE deltakv.queue
    DROP CONSTRAINT queue_state,
    DROP CONSTRAINT queue_lease,
    DROP CONSTRAINT queue_attempt,
    DROP CONSTRAINT queue_counts,
    ADD CONSTRAINT queue_is_sound CHECK (deltakv.is_sound(queue));
