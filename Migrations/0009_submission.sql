-- SPDX-License-Identifier: Apache-2.0

-- Templates by version, shared documents, dependencies, and deltakv.submit with all that a job may say of itself.

CREATE TABLE deltakv.templates (
    name text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE deltakv.templates IS
    'Job templates, written by daemons from their Jobs/*.yaml. A changed file is a new version; jobs keep theirs.';

CREATE FUNCTION deltakv.sync_template(name text, body jsonb) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    latest deltakv.templates;
BEGIN
    PERFORM pg_advisory_xact_lock(1684764258, -3);
    SELECT t.* INTO latest FROM deltakv.templates t WHERE t.name = sync_template.name ORDER BY t.version DESC LIMIT 1;
    IF latest.body IS DISTINCT FROM sync_template.body THEN
        INSERT INTO deltakv.templates (name, version, body)
        VALUES (sync_template.name, coalesce(latest.version, 0) + 1, sync_template.body) RETURNING * INTO latest;
    END IF;
    RETURN latest.version;
END
$$;
COMMENT ON FUNCTION deltakv.sync_template(text, jsonb) IS
    'Makes a new version of a template unless its latest is the same, and returns the version.';

CREATE TABLE deltakv.documents (
    document_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    content text NOT NULL
) WITH (toast_tuple_target = 256);
COMMENT ON TABLE deltakv.documents IS 'Documents that several jobs share: stored once, read by all, prefilled once.';

ALTER TABLE deltakv.jobs
    ADD COLUMN template_version integer,
    ADD COLUMN messages jsonb,
    ADD COLUMN document_id bigint,
    ADD COLUMN tags text[],
    ADD COLUMN deadline timestamptz,
    ADD COLUMN parent_id bigint,
    ADD COLUMN gathers boolean NOT NULL DEFAULT false;
CREATE INDEX jobs_tags ON deltakv.jobs USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX jobs_parent ON deltakv.jobs (parent_id) WHERE parent_id IS NOT NULL;
COMMENT ON COLUMN deltakv.jobs.template_version IS 'The version of the template when the job was submitted; null for the daemon''s own.';
COMMENT ON COLUMN deltakv.jobs.messages IS 'A conversation to be continued, in place of a template.';
COMMENT ON COLUMN deltakv.jobs.document_id IS 'The shared document, in place of one of its own.';
COMMENT ON COLUMN deltakv.jobs.parent_id IS 'The job that this one is a part of.';
COMMENT ON COLUMN deltakv.jobs.gathers IS 'The document is the outputs of the jobs that this one depends on, in their order.';

CREATE TABLE deltakv.job_keys (
    tenant text NOT NULL,
    idempotency_key text NOT NULL,
    job_id bigint NOT NULL,
    PRIMARY KEY (tenant, idempotency_key)
);
COMMENT ON TABLE deltakv.job_keys IS 'Idempotency keys: a tenant''s second submission under a key is the first one''s job.';

CREATE TABLE deltakv.dependencies (
    job_id bigint NOT NULL,
    depends_on bigint NOT NULL CHECK (depends_on < job_id),
    ended_as deltakv.job_state,
    PRIMARY KEY (job_id, depends_on)
);
CREATE INDEX dependencies_open ON deltakv.dependencies (depends_on) WHERE ended_as IS NULL;
COMMENT ON TABLE deltakv.dependencies IS
    'Which jobs wait for which. A job starts when all that it depends on have completed, and fails if one did not.';

CREATE TABLE deltakv.ready_checks (
    check_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL
);
COMMENT ON TABLE deltakv.ready_checks IS 'Jobs of which a dependency has ended: the next claim sees whether they may start.';

CREATE FUNCTION deltakv.end_dependencies() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
BEGIN
    WITH ended AS (
        UPDATE deltakv.dependencies d SET ended_as = c.state
        FROM changed c WHERE d.depends_on = c.job_id AND d.ended_as IS NULL
        RETURNING d.job_id
    )
    INSERT INTO deltakv.ready_checks (job_id) SELECT DISTINCT e.job_id FROM ended e;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.end_dependencies() IS
    'Notes on dependencies how the jobs ended. It leaves the queue alone: its rows are locked before outcomes, never after.';
CREATE TRIGGER end_dependencies AFTER INSERT ON deltakv.outcomes REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION deltakv.end_dependencies();

CREATE FUNCTION deltakv.start_ready(max_checks integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    checked bigint[];
    verdicts deltakv.verdict[];
    started integer;
BEGIN
    WITH due AS (
        SELECT r.check_id FROM deltakv.ready_checks r ORDER BY r.check_id LIMIT max_checks FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM deltakv.ready_checks r USING due WHERE r.check_id = due.check_id RETURNING r.job_id
    )
    SELECT array_agg(DISTINCT t.job_id ORDER BY t.job_id) INTO checked FROM taken t;
    IF checked IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM FROM deltakv.queue q WHERE q.job_id = ANY (checked) ORDER BY q.job_id FOR UPDATE;
    SELECT array_agg((
        f.job_id, 'failed', 'failed', true, false, 'dependency_failed',
        format('job %s, which it depends on, did not complete', f.depends_on), NULL)::deltakv.verdict ORDER BY f.job_id)
    INTO verdicts
    FROM (
        SELECT q.job_id, min(d.depends_on) AS depends_on
        FROM deltakv.queue q JOIN deltakv.dependencies d ON d.job_id = q.job_id AND d.ended_as IN ('failed', 'cancelled')
        WHERE q.job_id = ANY (checked) AND q.state = 'scheduled'
        GROUP BY q.job_id) f;
    IF verdicts IS NOT NULL THEN
        PERFORM deltakv.settle(verdicts);
    END IF;
    UPDATE deltakv.queue q SET run_at = greatest(j.run_at, now())
    FROM deltakv.jobs j
    WHERE q.job_id = ANY (checked) AND j.job_id = q.job_id AND q.state = 'scheduled' AND q.run_at = 'infinity'
        AND NOT EXISTS (
            SELECT FROM deltakv.dependencies d WHERE d.job_id = q.job_id AND d.ended_as IS DISTINCT FROM 'completed')
        AND NOT EXISTS (SELECT FROM deltakv.batches b WHERE b.batch_id = q.batch_id AND b.paused_at IS NOT NULL);
    GET DIAGNOSTICS started = ROW_COUNT;
    RETURN started;
END
$$;
COMMENT ON FUNCTION deltakv.start_ready(integer) IS
    'Lets jobs start whose dependencies have all completed, and fails those of which one did not.';

ALTER TABLE deltakv.batches
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN follow_up jsonb,
    ADD COLUMN followed_up_at timestamptz;
COMMENT ON COLUMN deltakv.batches.paused_at IS 'Since when none of its jobs starts; null unless deltakv.pause was called.';
COMMENT ON COLUMN deltakv.batches.follow_up IS 'The job that is submitted when the batch has ended: see deltakv.on_finish.';

-- Who may act for whom: a tenant is a role, and its members act for it. The queue's owner and its administrators act for all.
CREATE FUNCTION deltakv.is_administrator() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_has_role(deltakv.caller()::name, n.nspowner, 'MEMBER')
        OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'deltakv_admin'
            AND pg_has_role(deltakv.caller()::name, r.oid, 'MEMBER'))
    FROM pg_namespace n WHERE n.nspname = 'deltakv'
$$;
CREATE FUNCTION deltakv.acts_for(tenant text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT acts_for.tenant = deltakv.caller() OR deltakv.is_administrator()
        OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = acts_for.tenant
            AND pg_has_role(deltakv.caller()::name, r.oid, 'MEMBER'))
$$;
COMMENT ON FUNCTION deltakv.acts_for(text) IS 'Whether the caller is that tenant, a member of that role, or an administrator.';
COMMENT ON FUNCTION deltakv.is_administrator() IS 'Whether the caller owns the queue or is a member of deltakv_admin.';

CREATE FUNCTION deltakv.require_tenant(tenant text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF require_tenant.tenant IS NULL THEN
        RETURN deltakv.caller();
    END IF;
    IF require_tenant.tenant <> deltakv.caller() AND NOT deltakv.acts_for(require_tenant.tenant) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('%s may not act for the tenant %s', deltakv.caller(), require_tenant.tenant),
            HINT = 'A tenant is a role: GRANT it to those who are to act for it.';
    END IF;
    RETURN require_tenant.tenant;
END
$$;
COMMENT ON FUNCTION deltakv.require_tenant(text) IS 'The tenant given, or the caller''s own; refuses foreign ones.';

DROP FUNCTION deltakv.submit(text, text, text, text, jsonb, jsonb, integer, timestamptz, text, integer);
CREATE FUNCTION deltakv.submit(
    template text,
    document text DEFAULT NULL,
    custom_id text DEFAULT NULL,
    batch text DEFAULT 'default',
    options jsonb DEFAULT '{}',
    variables jsonb DEFAULT '{}',
    priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL,
    tenant text DEFAULT NULL,
    max_attempts integer DEFAULT 3,
    deadline timestamptz DEFAULT NULL,
    tags text[] DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    unique_key text DEFAULT NULL,
    depends_on bigint[] DEFAULT NULL,
    version integer DEFAULT NULL,
    messages jsonb DEFAULT NULL,
    document_id bigint DEFAULT NULL,
    parent_id bigint DEFAULT NULL,
    gathers boolean DEFAULT false
) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    owner CONSTANT text := deltakv.require_tenant(submit.tenant);
    group_name CONSTANT text := coalesce(submit.batch, 'default');
    group_id integer;
    paused timestamptz;
    tries CONSTANT integer := coalesce(submit.max_attempts, 3);
    rank CONSTANT integer := coalesce(submit.priority, 0);
    start_at CONSTANT timestamptz := coalesce(submit.run_at, now());
    settings CONSTANT jsonb := coalesce(submit.options, '{}');
    bindings CONSTANT jsonb := coalesce(submit.variables, '{}');
    pinned integer := submit.version;
    blocked boolean := false;
    waits boolean;
    submitted_id bigint;
    same boolean;
BEGIN
    IF submit.template IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'deltakv.submit needs a template, not null',
            HINT = 'Name a job template, as in deltakv.submit(''summarize'', document => body).';
    END IF;
    IF tries NOT BETWEEN 1 AND 100 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('max_attempts must be between 1 and 100, not %s', tries);
    END IF;
    IF pinned IS NULL THEN
        SELECT max(t.version) INTO pinned FROM deltakv.templates t WHERE t.name = submit.template;
    ELSIF NOT EXISTS (SELECT FROM deltakv.templates t WHERE t.name = submit.template AND t.version = pinned) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('there is no version %s of the template %s', pinned, submit.template);
    END IF;
    IF submit.document_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM deltakv.documents d WHERE d.document_id = submit.document_id AND d.tenant = owner)
    THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s has no document %s', owner, submit.document_id);
    END IF;
    IF submit.parent_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM deltakv.jobs j WHERE j.job_id = submit.parent_id AND j.tenant = owner)
    THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s has no job %s', owner, submit.parent_id);
    END IF;
    IF cardinality(submit.depends_on) > 0 THEN
        IF EXISTS (SELECT FROM unnest(submit.depends_on) d (id)
            LEFT JOIN deltakv.jobs j ON j.job_id = d.id AND j.tenant = owner WHERE j.job_id IS NULL)
        THEN
            RAISE invalid_parameter_value USING MESSAGE = format('%s does not have all jobs in depends_on', owner);
        END IF;
        blocked := true;
    END IF;
    IF submit.idempotency_key IS NOT NULL THEN
        SELECT k.job_id INTO submitted_id FROM deltakv.job_keys k
        WHERE k.tenant = owner AND k.idempotency_key = submit.idempotency_key;
        IF FOUND THEN
            RETURN submitted_id;
        END IF;
    END IF;
    IF submit.unique_key IS NOT NULL THEN
        SELECT q.job_id INTO submitted_id FROM deltakv.queue q
        WHERE q.tenant = owner AND q.unique_key = submit.unique_key;
        IF FOUND THEN
            RETURN submitted_id;
        END IF;
    END IF;

    SELECT b.batch_id, b.paused_at INTO group_id, paused FROM deltakv.batches b
    WHERE b.tenant = owner AND b.name = group_name;
    IF NOT FOUND THEN
        group_id := deltakv.batch_id_for(owner, group_name);
    END IF;
    blocked := blocked OR paused IS NOT NULL;
    waits := blocked OR start_at > now();

    WITH recorded AS (
        INSERT INTO deltakv.jobs (
            batch_id, tenant, custom_id, template, document, options, variables, priority, run_at, max_attempts,
            template_version, messages, document_id, tags, deadline, parent_id, gathers)
        VALUES (
            group_id, owner, submit.custom_id, submit.template, submit.document, settings, bindings, rank, start_at,
            tries, pinned, submit.messages, submit.document_id, submit.tags, submit.deadline, submit.parent_id,
            coalesce(submit.gathers, false))
        ON CONFLICT (batch_id, custom_id) DO NOTHING
        RETURNING job_id
    )
    INSERT INTO deltakv.queue (
        job_id, batch_id, tenant, priority, input_bytes, state, scheduled_at, available_at, run_at, max_attempts, deadline,
        unique_key)
    SELECT r.job_id, group_id, owner, rank,
        deltakv.input_bytes(submit.document, bindings) + coalesce(pg_column_size(submit.messages), 0),
        CASE WHEN waits THEN 'scheduled' ELSE 'available' END::deltakv.job_state,
        CASE WHEN waits THEN now() END,
        CASE WHEN NOT waits THEN now() END,
        CASE WHEN blocked THEN 'infinity' ELSE start_at END, tries, submit.deadline, submit.unique_key
    FROM recorded r
    RETURNING job_id INTO submitted_id;
    IF submitted_id IS NOT NULL THEN
        IF submit.idempotency_key IS NOT NULL THEN
            INSERT INTO deltakv.job_keys VALUES (owner, submit.idempotency_key, submitted_id);
        END IF;
        IF cardinality(submit.depends_on) > 0 THEN
            INSERT INTO deltakv.dependencies (job_id, depends_on)
            SELECT DISTINCT submitted_id, d.id FROM unnest(submit.depends_on) d (id);
            -- Those that have ended already will not say so again, nor those that end before this is seen by them.
            PERFORM FROM deltakv.queue q WHERE q.job_id = ANY (submit.depends_on) ORDER BY q.job_id FOR SHARE OF q;
            UPDATE deltakv.dependencies d SET ended_as = o.state
            FROM deltakv.outcomes o WHERE d.job_id = submitted_id AND o.job_id = d.depends_on AND d.ended_as IS NULL;
            INSERT INTO deltakv.ready_checks (job_id) VALUES (submitted_id);
        END IF;
        RETURN submitted_id;
    END IF;

    SELECT j.job_id, j.template = submit.template AND j.document IS NOT DISTINCT FROM submit.document
        AND j.options = settings AND j.variables = bindings AND j.messages IS NOT DISTINCT FROM submit.messages
        AND j.document_id IS NOT DISTINCT FROM submit.document_id
    INTO submitted_id, same
    FROM deltakv.jobs j WHERE j.batch_id = group_id AND j.custom_id = submit.custom_id;
    IF same THEN
        RETURN submitted_id;
    END IF;
    RAISE unique_violation USING
        MESSAGE = format('job %s of batch "%s" already has custom_id "%s", with other inputs', submitted_id,
            group_name, submit.custom_id),
        HINT = 'Submit under another custom_id or in another batch; only the same template, document, options and '
            'variables may be submitted again.';
END
$$;
COMMENT ON FUNCTION deltakv.submit(
    text, text, text, text, jsonb, jsonb, integer, timestamptz, text, integer, timestamptz, text[], text, text, bigint[],
    integer, jsonb, bigint, bigint, boolean) IS
    'Submits one job and returns its id. Call it once per row: '
    'SELECT deltakv.submit(''summarize'', document => body, custom_id => id::text, batch => ''q3'') FROM articles. '
    'The same custom_id in the same batch with the same inputs returns the job that is there already, the same '
    'idempotency_key the first job under it, the same unique_key the unfinished job that has it. '
    'Larger priorities run first; run_at holds the job back; after its deadline it fails; it waits for the jobs in '
    'depends_on; version picks an earlier version of the template; options are checked when the job runs.';

CREATE FUNCTION deltakv.generate(
    prompt text DEFAULT NULL, messages jsonb DEFAULT NULL, custom_id text DEFAULT NULL, batch text DEFAULT 'default',
    options jsonb DEFAULT '{}', priority integer DEFAULT 0, tenant text DEFAULT NULL
) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT deltakv.submit('generate', custom_id => custom_id, batch => batch, options => options, priority => priority,
        tenant => tenant,
        messages => coalesce(messages, jsonb_build_array(jsonb_build_object('role', 'user', 'content', prompt))))
$$;
COMMENT ON FUNCTION deltakv.generate(text, jsonb, text, text, jsonb, integer, text) IS
    'Submits a prompt, or the messages of a conversation: SELECT deltakv.generate(''Why is the sky blue?'').';

CREATE FUNCTION deltakv.ask(
    document text, questions text[], custom_id text DEFAULT NULL, batch text DEFAULT 'default',
    options jsonb DEFAULT '{}', priority integer DEFAULT 0, tenant text DEFAULT NULL
) RETURNS SETOF bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner CONSTANT text := deltakv.require_tenant(ask.tenant);
    shared_id bigint;
BEGIN
    INSERT INTO deltakv.documents (tenant, content) VALUES (owner, coalesce(ask.document, '')) RETURNING document_id INTO shared_id;
    RETURN QUERY
    SELECT deltakv.submit('ask', custom_id => ask.custom_id || '-' || q.place, batch => ask.batch, options => ask.options,
        priority => ask.priority, tenant => owner, document_id => shared_id,
        variables => jsonb_build_object('question', q.question))
    FROM unnest(ask.questions) WITH ORDINALITY AS q (question, place) ORDER BY q.place;
END
$$;
COMMENT ON FUNCTION deltakv.ask(text, text[], text, text, jsonb, integer, text) IS
    'Submits one job for each question about a document. The document is stored once and comes first in every prompt, so '
    'that its cache serves all questions. The jobs'' custom_ids are the one given with -1, -2… behind it.';

CREATE FUNCTION deltakv.cut_document(document text, chunk_bytes integer, overlap_bytes integer)
RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    paragraphs text[] := regexp_split_to_array(document, '\n[ \t]*\n\s*');
    paragraph text;
    chunk text := '';
    tail text := '';
    piece text;
BEGIN
    FOREACH paragraph IN ARRAY paragraphs LOOP
        -- A paragraph that is longer than a chunk is cut too, by characters: no character is longer than four bytes.
        WHILE paragraph <> '' LOOP
            piece := CASE WHEN octet_length(paragraph) <= chunk_bytes - overlap_bytes THEN paragraph
                ELSE left(paragraph, (chunk_bytes - overlap_bytes) / 4) END;
            paragraph := substr(paragraph, length(piece) + 1);
            IF chunk <> '' AND octet_length(chunk) + octet_length(piece) + 2 > chunk_bytes THEN
                RETURN NEXT chunk;
                chunk := tail;
            END IF;
            chunk := chunk || CASE WHEN chunk = '' THEN '' ELSE E'\n\n' END || piece;
            -- The next chunk begins with the last paragraph of this one, if it is short enough.
            tail := CASE WHEN octet_length(piece) <= overlap_bytes - 2 THEN piece ELSE '' END;
        END LOOP;
    END LOOP;
    IF chunk <> '' THEN
        RETURN NEXT chunk;
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.cut_document(text, integer, integer) IS
    'Cuts a document at paragraph borders into chunks of at most chunk_bytes; each begins with the last paragraph of the '
    'one before, where that has no more than overlap_bytes.';

CREATE FUNCTION deltakv.summarize(
    document text, custom_id text DEFAULT NULL, batch text DEFAULT 'default', options jsonb DEFAULT '{}',
    priority integer DEFAULT 0, tenant text DEFAULT NULL, chunk_bytes integer DEFAULT 12000, fan_in integer DEFAULT 8
) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner CONSTANT text := deltakv.require_tenant(summarize.tenant);
    level_ids bigint[];
    next_ids bigint[];
    last_id bigint;
    start integer;
BEGIN
    IF chunk_bytes < 400 OR fan_in < 2 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'chunk_bytes must be at least 400 and fan_in at least 2';
    END IF;
    SELECT q.job_id INTO last_id FROM deltakv.jobs q JOIN deltakv.batches b USING (batch_id)
    WHERE b.tenant = owner AND b.name = summarize.batch AND q.custom_id = summarize.custom_id;
    IF FOUND THEN
        RETURN last_id;
    END IF;
    IF octet_length(coalesce(document, '')) <= chunk_bytes THEN
        RETURN deltakv.submit('summarize', document => document, custom_id => custom_id, batch => batch,
            options => options, priority => priority, tenant => owner);
    END IF;
    level_ids := ARRAY(
        SELECT deltakv.submit('summarize-part', document => c.chunk, batch => batch, options => options,
            priority => priority, tenant => owner, tags => ARRAY['part'])
        FROM deltakv.cut_document(document, chunk_bytes, chunk_bytes / 8) WITH ORDINALITY AS c (chunk, place)
        ORDER BY c.place);
    -- Level by level: fan_in summaries become one, until one is left. That one has the submitter's custom_id.
    LOOP
        next_ids := '{}';
        FOR start IN SELECT generate_series(1, cardinality(level_ids), fan_in) LOOP
            next_ids := next_ids || deltakv.submit(
                'summarize-merge', batch => batch, options => options, priority => priority, tenant => owner,
                custom_id => CASE WHEN cardinality(level_ids) <= fan_in THEN custom_id END, gathers => true,
                depends_on => level_ids[start:start + fan_in - 1],
                tags => CASE WHEN cardinality(level_ids) <= fan_in THEN NULL ELSE ARRAY['part'] END);
        END LOOP;
        EXIT WHEN cardinality(next_ids) = 1;
        level_ids := next_ids;
    END LOOP;
    RETURN next_ids[1];
END
$$;
COMMENT ON FUNCTION deltakv.summarize(text, text, text, jsonb, integer, text, integer, integer) IS
    'Summarises a document of any length: its chunks first, then their summaries, level by level. Every part is a job '
    'with the tag part; the id returned is that of the last one, whose output is the summary.';

CREATE FUNCTION deltakv.gathered_document(job_id bigint) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(o.output, E'\n\n' ORDER BY d.depends_on)
    FROM deltakv.dependencies d JOIN deltakv.outcomes o ON o.job_id = d.depends_on
    WHERE d.job_id = gathered_document.job_id
$$;
COMMENT ON FUNCTION deltakv.gathered_document(bigint) IS 'The outputs of the jobs that a job depends on, in their order.';

CREATE FUNCTION deltakv.document_of(job deltakv.jobs) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN job.gathers THEN deltakv.gathered_document(job.job_id)
        WHEN job.document_id IS NOT NULL THEN (
            SELECT d.content FROM deltakv.documents d WHERE d.document_id = job.document_id)
        ELSE job.document END
$$;
COMMENT ON FUNCTION deltakv.document_of(deltakv.jobs) IS 'The document that a job works on, wherever it is stored.';

-- What daemons before this migration call: the same signature, meaning and rows as ever.
CREATE OR REPLACE FUNCTION deltakv.claim(
    worker_id bigint,
    max_jobs integer,
    lease interval,
    attempt_timeout interval DEFAULT NULL,
    max_input_bytes bigint DEFAULT NULL
) RETURNS TABLE (
    job_id bigint, token bigint, attempt integer, max_attempts integer, attempt_deadline timestamptz, tenant text,
    batch text, custom_id text, template text, document text, options jsonb, variables jsonb, submitted_at timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    picked bigint[];
BEGIN
    PERFORM deltakv.require_worker(claim.worker_id);
    PERFORM deltakv.promote_due(1000);
    picked := deltakv.pick_fairly(claim.max_jobs, true);
    RETURN QUERY
    SELECT c.job_id, c.token, c.attempt, j.max_attempts, c.attempt_deadline, j.tenant, b.name, j.custom_id, j.template,
        deltakv.document_of(j), j.options, j.variables, j.submitted_at
    FROM deltakv.start_jobs(
        claim.worker_id, picked, claim.lease, claim.attempt_timeout, claim.max_input_bytes, false) c
    JOIN deltakv.jobs j ON j.job_id = c.job_id
    JOIN deltakv.batches b ON b.batch_id = j.batch_id
    ORDER BY c.place;
END
$$;

CREATE FUNCTION deltakv.claim_2(
    worker_id bigint, holding integer, max_jobs integer, lease interval, attempt_timeout interval DEFAULT NULL,
    max_input_bytes bigint DEFAULT NULL
) RETURNS TABLE (
    job_id bigint, token bigint, attempt integer, max_attempts integer, attempt_deadline timestamptz, tenant text,
    batch text, custom_id text, template text, document text, options jsonb, variables jsonb, submitted_at timestamptz,
    template_body jsonb, messages jsonb, alone boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    suspect record;
    picked bigint[];
BEGIN
    PERFORM deltakv.require_worker(claim_2.worker_id);
    PERFORM deltakv.start_ready(1000);
    PERFORM deltakv.promote_due(1000);
    SELECT * INTO suspect FROM deltakv.pick_suspect(claim_2.worker_id, claim_2.holding);
    IF suspect.job_id IS NULL AND suspect.must_wait THEN
        RETURN;
    END IF;
    picked := CASE WHEN suspect.job_id IS NOT NULL THEN ARRAY[suspect.job_id]
        ELSE deltakv.pick_fairly(claim_2.max_jobs, false) END;
    RETURN QUERY
    SELECT c.job_id, c.token, c.attempt, j.max_attempts, c.attempt_deadline, j.tenant, b.name, j.custom_id, j.template,
        deltakv.document_of(j), j.options, j.variables, j.submitted_at,
        (SELECT t.body FROM deltakv.templates t WHERE t.name = j.template AND t.version = j.template_version),
        j.messages, suspect.job_id IS NOT NULL
    FROM deltakv.start_jobs(
        claim_2.worker_id, picked, claim_2.lease, claim_2.attempt_timeout, claim_2.max_input_bytes,
        suspect.job_id IS NOT NULL) c
    JOIN deltakv.jobs j ON j.job_id = c.job_id
    JOIN deltakv.batches b ON b.batch_id = j.batch_id
    ORDER BY c.place;
END
$$;
COMMENT ON FUNCTION deltakv.claim_2(bigint, integer, integer, interval, interval, bigint) IS
    'Starts up to max_jobs waiting jobs for a worker that holds so many already, and returns them with their fencing '
    'tokens. A job that comes alone is run with nothing beside it: its worker has died once.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
