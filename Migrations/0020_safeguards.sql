-- SPDX-License-Identifier: Apache-2.0

-- What one tenant asks for must not stop what is done for all of them.

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
        BEGIN
            PERFORM deltakv.submit(
                due.job ->> 'template', document => due.job ->> 'document', custom_id => due.job ->> 'custom_id',
                batch => due.job ->> 'batch', options => due.job -> 'options', variables => due.job -> 'variables',
                tenant => due.tenant);
        EXCEPTION
            -- It can be submitted at no time, and would be the first in line for ever.
            WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
                RAISE WARNING 'a follow-up job of % was not submitted: %', due.tenant, SQLERRM;
        END;
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

CREATE OR REPLACE FUNCTION deltakv.parsed(json text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN json::jsonb;
EXCEPTION
    -- A text, which is never what is asked for: the job's row says so. JSON may be nested too deep to be read.
    WHEN data_exception OR program_limit_exceeded THEN RETURN to_jsonb(json);
END
$$;

-- A document that a job is being submitted for stays: whoever removes it waits for the job, and then sees it.
DO $$
DECLARE
    change record;
    old_text text;
    new_text text;
BEGIN
    FOR change IN
        SELECT p.oid, c.* FROM (VALUES
            ('submit', 'd.document_id = submit.document_id AND d.tenant = owner;',
                'd.document_id = submit.document_id AND d.tenant = owner FOR KEY SHARE;'),
            ('remove_old', '    DELETE FROM deltakv.documents d WHERE',
                '    PERFORM FROM deltakv.documents d WHERE d.document_id = ANY (documents) ORDER BY d.document_id FOR UPDATE;'
                || E'\n    DELETE FROM deltakv.documents d WHERE')) c (name, part, instead)
        JOIN pg_proc p ON p.proname = c.name AND p.pronamespace = 'deltakv'::regnamespace
        WHERE strpos(p.prosrc, c.part) > 0
    LOOP
        old_text := pg_get_functiondef(change.oid);
        new_text := replace(old_text, change.part, change.instead);
        -- Once and once only, or the file does not fit the functions that it is for.
        IF length(new_text) - length(old_text) <> length(change.instead) - length(change.part) THEN
            RAISE internal_error USING MESSAGE = format('deltakv.%s does not have "%s" once', change.name, change.part);
        END IF;
        EXECUTE new_text;
    END LOOP;
    IF (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'deltakv'::regnamespace
        AND (p.proname = 'submit' AND p.prosrc LIKE '%FOR KEY SHARE;%'
            OR p.proname = 'remove_old' AND p.prosrc LIKE '%ORDER BY d.document_id FOR UPDATE;%')) < 2
    THEN
        RAISE internal_error USING MESSAGE = 'deltakv.submit or deltakv.remove_old is not as expected';
    END IF;
END
$$;

-- Granted before, but hidden by row security.
CREATE POLICY administrators ON deltakv.worker_samples FOR SELECT TO deltakv_admin USING (true);
CREATE POLICY administrators ON deltakv.rejections FOR SELECT TO deltakv_admin USING (true);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
