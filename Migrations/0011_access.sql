-- SPDX-License-Identifier: Apache-2.0

-- Who may do what. Nobody has rights on tables except administrators: everyone else calls functions and reads views that
-- show a tenant its own rows. Row security says the same once more for rights that somebody grants later.

-- Roles belong to the whole server: another database on it may have made them.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['deltakv_submitter', 'deltakv_worker', 'deltakv_reader', 'deltakv_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE insufficient_privilege USING
                        MESSAGE = format('the role %s is missing, and %s may not create it', name, current_user),
                        HINT = format('Have an administrator of the server run: CREATE ROLE %I NOLOGIN', name);
            END;
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION deltakv.sees(tenant text) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT deltakv.acts_for(sees.tenant) $$;
COMMENT ON FUNCTION deltakv.sees(text) IS 'Whether the caller may see the rows of a tenant.';

CREATE FUNCTION deltakv.visible_tenants() RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY(SELECT t.tenant FROM deltakv.tenants t WHERE deltakv.acts_for(t.tenant)) $$;
COMMENT ON FUNCTION deltakv.visible_tenants() IS 'The tenants whose rows the caller may see; found once for a statement.';

ALTER TABLE deltakv.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.job_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.minutes ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.follow_ups ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.job_errors ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.job_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.dependencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE deltakv.batch_counts ENABLE ROW LEVEL SECURITY;
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY[
        'jobs', 'queue', 'batches', 'documents', 'job_keys', 'tenants', 'minutes', 'follow_ups'] LOOP
        EXECUTE format(
            'CREATE POLICY own_tenant ON deltakv.%I USING (tenant = ANY ((SELECT deltakv.visible_tenants())::text[]))
                WITH CHECK (deltakv.sees(tenant))', relation);
    END LOOP;
    FOREACH relation IN ARRAY ARRAY['outcomes', 'job_errors', 'job_events', 'dependencies'] LOOP
        EXECUTE format(
            'CREATE POLICY own_tenant ON deltakv.%1$I USING (EXISTS (
                SELECT FROM deltakv.jobs j WHERE j.job_id = %1$I.job_id AND deltakv.sees(j.tenant)))', relation);
    END LOOP;
    CREATE POLICY own_tenant ON deltakv.batch_counts USING (EXISTS (
        SELECT FROM deltakv.batches b WHERE b.batch_id = batch_counts.batch_id AND deltakv.sees(b.tenant)));
END
$$;

-- Views belong to the owner of the tables, and show what the policies would.
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
    b.paused_at
FROM deltakv.jobs j
JOIN deltakv.batches b USING (batch_id)
LEFT JOIN deltakv.outcomes o USING (job_id)
LEFT JOIN deltakv.queue q USING (job_id)
WHERE j.tenant = ANY ((SELECT deltakv.visible_tenants())::text[]);

ALTER VIEW deltakv.batch_progress RENAME TO all_batches;
COMMENT ON VIEW deltakv.all_batches IS 'deltakv.batch_progress of all tenants.';
CREATE VIEW deltakv.batch_progress WITH (security_barrier) AS
SELECT * FROM deltakv.all_batches a WHERE a.tenant = ANY ((SELECT deltakv.visible_tenants())::text[]);
COMMENT ON VIEW deltakv.batch_progress IS
    'How far each batch is: jobs by state, tokens of finished jobs, rate and expected end. Quick however many jobs wait or '
    'have finished: SELECT * FROM deltakv.batch_progress WHERE batch = ''q3''.';
-- What daemons count must not depend on what they may see.
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef('deltakv.unfinished(text, text)'::regprocedure), 'deltakv.batch_progress', 'deltakv.all_batches');
END
$$;
ALTER FUNCTION deltakv.unfinished(text, text) SECURITY DEFINER;

-- For dashboards: no texts of anybody, all tenants, small tables only.
CREATE VIEW deltakv.dashboard_batches AS SELECT * FROM deltakv.all_batches;
COMMENT ON VIEW deltakv.dashboard_batches IS 'How far the batches of all tenants are.';
CREATE VIEW deltakv.dashboard_minutes AS SELECT * FROM deltakv.minutes;
COMMENT ON VIEW deltakv.dashboard_minutes IS 'Jobs and tokens finished by minute and tenant.';
CREATE VIEW deltakv.dashboard_workers AS
SELECT w.*, now() - w.heartbeat_at AS silent_for FROM deltakv.workers w
WHERE w.stopped_at IS NULL OR w.stopped_at > now() - interval '1 day';
COMMENT ON VIEW deltakv.dashboard_workers IS 'Daemons that run or stopped in the last day.';
CREATE VIEW deltakv.dashboard_states AS
SELECT sum(a.scheduled) AS scheduled, sum(a.available) AS available, sum(a.running) AS running,
    sum(a.retryable) AS retryable, sum(a.completed) AS completed, sum(a.failed) AS failed, sum(a.cancelled) AS cancelled
FROM deltakv.all_batches a;
COMMENT ON VIEW deltakv.dashboard_states IS 'Jobs by state.';
CREATE VIEW deltakv.dashboard_tables AS
SELECT s.relname AS table_name, s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows, s.last_autovacuum,
    pg_total_relation_size(s.relid) AS bytes, (
        SELECT max(now() - a.xact_start) FROM pg_stat_activity a WHERE a.datname = current_database()
    ) AS oldest_transaction
FROM pg_stat_user_tables s WHERE s.schemaname = 'deltakv';
COMMENT ON VIEW deltakv.dashboard_tables IS 'Sizes and dead rows, and the oldest transaction that keeps them from going.';

-- Functions that people and daemons call run with the owner's rights. All others can be called by the owner only.
DO $$
DECLARE
    entry text;
    granted record;
BEGIN
    FOR granted IN
        SELECT p.oid::regprocedure::text AS signature, p.proname, g.roles
        FROM pg_proc p JOIN (VALUES
            ('submit', 'deltakv_submitter'), ('generate', 'deltakv_submitter'), ('ask', 'deltakv_submitter'),
            ('summarize', 'deltakv_submitter'), ('cancel', 'deltakv_submitter'), ('redrive', 'deltakv_submitter'),
            ('pause', 'deltakv_submitter'), ('resume', 'deltakv_submitter'), ('reprioritise', 'deltakv_submitter'),
            ('clone', 'deltakv_submitter'), ('estimate', 'deltakv_submitter'), ('on_finish', 'deltakv_submitter'),
            ('visible_tenants', 'deltakv_submitter'), ('sees', 'deltakv_submitter'),
            ('register_worker', 'deltakv_worker'), ('retire_worker', 'deltakv_worker'), ('claim', 'deltakv_worker'),
            ('claim_2', 'deltakv_worker'), ('heartbeat', 'deltakv_worker'), ('complete', 'deltakv_worker'),
            ('fail', 'deltakv_worker'), ('release', 'deltakv_worker'), ('rescue', 'deltakv_worker'),
            ('unfinished', 'deltakv_worker'), ('sync_template', 'deltakv_worker'), ('tidy', 'deltakv_worker')
        ) g (name, roles) ON p.proname = g.name
        WHERE p.pronamespace = 'deltakv'::regnamespace
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', granted.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I, deltakv_admin', granted.signature, granted.roles);
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA deltakv TO deltakv_submitter, deltakv_worker, deltakv_reader, deltakv_admin;
GRANT SELECT ON deltakv.results, deltakv.batch_progress TO deltakv_submitter, deltakv_admin;
GRANT SELECT ON deltakv.dashboard_batches, deltakv.dashboard_minutes, deltakv.dashboard_workers,
    deltakv.dashboard_states, deltakv.dashboard_tables TO deltakv_reader, deltakv_admin;
GRANT SELECT ON ALL TABLES IN SCHEMA deltakv TO deltakv_admin;
GRANT UPDATE (weight, max_running) ON deltakv.tenants TO deltakv_admin;
-- A daemon checks that the schema is the one it knows.
GRANT SELECT ON deltakv.migrations TO deltakv_worker;

-- A follow-up is submitted by whoever tidies; that the tenant wanted it is on record.
CREATE OR REPLACE FUNCTION deltakv.require_tenant(tenant text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF require_tenant.tenant IS NULL THEN
        RETURN deltakv.caller();
    END IF;
    IF require_tenant.tenant <> deltakv.caller() AND NOT deltakv.acts_for(require_tenant.tenant)
        AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'deltakv_worker'
            AND pg_has_role(deltakv.caller()::name, r.oid, 'MEMBER'))
    THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('%s may not act for the tenant %s', deltakv.caller(), require_tenant.tenant),
            HINT = 'A tenant is a role: GRANT it to those who are to act for it.';
    END IF;
    RETURN require_tenant.tenant;
END
$$;

CREATE FUNCTION deltakv.admit(login text, kind text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind NOT IN ('submitter', 'worker', 'reader', 'admin') THEN
        RAISE invalid_parameter_value USING MESSAGE = 'kind must be submitter, worker, reader or admin';
    END IF;
    EXECUTE format('GRANT %I TO %I', 'deltakv_' || kind, login);
    -- Settings of a group are not those of its members, so each login that looks gets its own limits.
    IF kind = 'reader' THEN
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''5s''', login);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''60s''', login);
    ELSIF kind = 'submitter' THEN
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''10min''', login);
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.admit(text, text) IS
    'Lets a login in: SELECT deltakv.admit(''grafana'', ''reader''). Readers get a limit of five seconds for a statement.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA deltakv FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA deltakv REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
