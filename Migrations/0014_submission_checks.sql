-- SPDX-License-Identifier: Apache-2.0

-- What is wrong with a job is found when it is submitted, as far as it can be without the model, and stands on the job's own
-- row: a bad row is stored, has failed with a typed error as soon as its transaction commits, and stops no other. Beside
-- deltakv.submit there are a view to COPY into and a function that takes an array of JSON.

CREATE TABLE deltakv.option_rules (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('integer', 'number', 'texts', 'integers', 'biases', 'any')),
    least numeric,
    above numeric,
    most numeric,
    expected text NOT NULL
);
COMMENT ON TABLE deltakv.option_rules IS
    'The options of jobs: what deltakv.submit accepts. Values lie in [least, most] and above above.';
INSERT INTO deltakv.option_rules (name, kind, least, above, most, expected) VALUES
    ('max_tokens', 'integer', 1, NULL, 9223372036854775807, 'a whole number of at least 1'),
    ('min_tokens', 'integer', 0, NULL, 9223372036854775807, 'a whole number of at least 0'),
    ('temperature', 'number', 0, NULL, 100, 'a number between 0 and 100'),
    ('top_k', 'integer', 0, NULL, 9223372036854775807, '0 (all tokens) or a larger whole number'),
    ('top_p', 'number', NULL, 0, 1, 'a number above 0 and at most 1'),
    ('min_p', 'number', 0, NULL, 1, 'a number between 0 and 1'),
    ('repetition_penalty', 'number', NULL, 0, 10, 'a number above 0 and at most 10'),
    ('presence_penalty', 'number', -2, NULL, 2, 'a number between -2 and 2'),
    ('frequency_penalty', 'number', -2, NULL, 2, 'a number between -2 and 2'),
    ('logit_bias', 'biases', -100, NULL, 100,
        'an object of at most 1,024 tokens'' numbers with values between -100 and 100, such as {"17": -100}'),
    ('seed', 'integer', -9223372036854775808, NULL, 9223372036854775807, 'a whole number of 64 bits'),
    ('stop', 'texts', NULL, NULL, NULL, 'a list of at most 16 texts of 1 to 1,024 bytes'),
    ('stop_token_ids', 'integers', 0, NULL, 2147483647, 'a list of at most 1,024 tokens'' numbers'),
    ('n', 'integer', 1, NULL, 128, 'a whole number between 1 and 128'),
    ('logprobs', 'integer', 0, NULL, 20, 'a whole number between 0 and 20'),
    ('json_schema', 'any', NULL, NULL, NULL, 'a JSON schema, or a text that holds one'),
    ('tools', 'any', NULL, NULL, NULL, 'a list of tools as in OpenAI''s API'),
    ('chat_template_kwargs', 'any', NULL, NULL, NULL, 'an object of variables for the chat template');

CREATE FUNCTION deltakv.follows(value jsonb, rule deltakv.option_rules) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type CONSTANT text := jsonb_typeof(value);
    number numeric;
BEGIN
    CASE rule.kind
        WHEN 'integer', 'number' THEN
            IF type <> 'number' THEN
                RETURN false;
            END IF;
            number := value::numeric;
            RETURN (rule.kind = 'number' OR number = trunc(number)) AND number >= coalesce(rule.least, number)
                AND number <= coalesce(rule.most, number) AND (rule.above IS NULL OR number > rule.above);
        WHEN 'texts' THEN
            RETURN type = 'array' AND jsonb_array_length(value) <= 16 AND NOT EXISTS (
                SELECT FROM jsonb_array_elements(value) e (item)
                WHERE jsonb_typeof(e.item) <> 'string' OR octet_length(e.item #>> '{}') NOT BETWEEN 1 AND 1024);
        WHEN 'integers' THEN
            IF type <> 'array' OR jsonb_array_length(value) > 1024 THEN
                RETURN false;
            END IF;
            FOR number IN SELECT CASE jsonb_typeof(e.item) WHEN 'number' THEN e.item::numeric END
                FROM jsonb_array_elements(value) e (item)
            LOOP
                IF number IS NULL OR number <> trunc(number) OR number NOT BETWEEN rule.least AND rule.most THEN
                    RETURN false;
                END IF;
            END LOOP;
            RETURN true;
        WHEN 'biases' THEN
            RETURN type = 'object' AND (SELECT count(*) FROM jsonb_object_keys(value)) <= 1024 AND NOT EXISTS (
                SELECT FROM jsonb_each(value) e (token, item)
                WHERE e.token !~ '^[0-9]{1,10}$' OR NOT CASE jsonb_typeof(e.item)
                    WHEN 'number' THEN e.item::numeric BETWEEN rule.least AND rule.most ELSE false END);
        ELSE
            RETURN true;
    END CASE;
END
$$;
COMMENT ON FUNCTION deltakv.follows(jsonb, deltakv.option_rules) IS 'Whether the value of an option keeps to its rule.';

CREATE FUNCTION deltakv.option_fault(options jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given record;
    rule deltakv.option_rules;
BEGIN
    IF options = '{}' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(options) <> 'object' THEN
        RETURN 'options must be a JSON object such as {"max_tokens": 200}';
    END IF;
    FOR given IN SELECT e.name, e.value FROM jsonb_each(options) e (name, value) LOOP
        SELECT * INTO rule FROM deltakv.option_rules r WHERE r.name = given.name;
        IF NOT FOUND THEN
            RETURN format('there is no option ''%s'': the options are %s', left(given.name, 100),
                (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM deltakv.option_rules r));
        -- Null is as if the option were not there.
        ELSIF given.value <> 'null' AND NOT deltakv.follows(given.value, rule) THEN
            RETURN format('option ''%s'' must be %s', given.name, rule.expected);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.option_fault(jsonb) IS 'What is wrong with the options of a job; null where nothing is.';

CREATE FUNCTION deltakv.message_fault(messages jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What contents and tool calls are made of is looked at when the job runs.
    IF jsonb_typeof(messages) = 'array' AND messages #>> '{-1,role}' IN ('user', 'tool') AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(messages) m (message)
        WHERE coalesce(m.message ->> 'role', '') NOT IN ('system', 'user', 'assistant', 'tool')
            OR coalesce(jsonb_typeof(m.message -> 'content'), '') NOT IN ('string', 'array')
                AND coalesce(jsonb_typeof(m.message -> 'tool_calls'), '') <> 'array')
    THEN
        RETURN NULL;
    END IF;
    RETURN 'messages must be a JSON list such as [{"role": "user", "content": "Hello"}], the user''s or a tool''s last';
END
$$;
COMMENT ON FUNCTION deltakv.message_fault(jsonb) IS 'What is wrong with the messages of a job; null where nothing is.';

CREATE FUNCTION deltakv.submission_fault(
    template text, pinned integer, wanted integer, options jsonb, variables jsonb, messages jsonb, run_at timestamptz,
    deadline timestamptz, OUT code text, OUT message text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Until a daemon has made its templates known, nobody can say that one is missing.
    IF wanted IS NOT NULL
        AND NOT EXISTS (SELECT FROM deltakv.templates t WHERE t.name = template AND t.version = wanted)
    THEN
        code := 'unknown_template';
        message := format('there is no version %s of the template ''%s''', wanted, left(template, 100));
    ELSIF pinned IS NULL AND EXISTS (SELECT FROM deltakv.templates) THEN
        code := 'unknown_template';
        message := format(
            'there is no template ''%s'': there are %s, and a daemon adds those of its Jobs folder when it starts',
            left(template, 100), (SELECT string_agg(DISTINCT t.name, ', ') FROM deltakv.templates t));
    ELSIF deadline <= greatest(run_at, now()) THEN
        code := 'deadline_passed';
        message := CASE WHEN deadline <= now() THEN 'the deadline had passed when the job was submitted'
            ELSE 'the job may not start before its deadline' END;
    END IF;
    IF code IS NULL THEN
        message := deltakv.option_fault(options);
        code := CASE WHEN message IS NOT NULL THEN 'invalid_options' END;
    END IF;
    IF code IS NULL AND messages IS NOT NULL THEN
        message := deltakv.message_fault(messages);
        code := CASE WHEN message IS NOT NULL THEN 'invalid_messages' END;
    ELSIF code IS NULL AND variables <> '{}' AND (jsonb_typeof(variables) <> 'object' OR EXISTS (
        SELECT FROM jsonb_each(CASE jsonb_typeof(variables) WHEN 'object' THEN variables ELSE '{}' END) v (name, value)
        WHERE jsonb_typeof(v.value) <> 'string'))
    THEN
        code := 'invalid_options';
        message := 'variables must be a JSON object of texts such as {"language": "French"}';
    END IF;
END
$$;
COMMENT ON FUNCTION deltakv.submission_fault(
    text, integer, integer, jsonb, jsonb, jsonb, timestamptz, timestamptz) IS
    'What can be said against a job before a worker sees it; null where nothing can.';

CREATE TABLE deltakv.rejections (
    job_id bigint PRIMARY KEY,
    batch_id integer NOT NULL,
    submitted_in xid8 NOT NULL,
    code text NOT NULL,
    message text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX rejections_transaction ON deltakv.rejections (batch_id, submitted_in, job_id);
ALTER TABLE deltakv.rejections ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE deltakv.rejections IS
    'Jobs that transactions under way have submitted and that fail when these commit. Always empty to those who look from '
    'outside.';

-- Where jobs share the beginning of their prompts, they share its prefill.
ALTER TABLE deltakv.queue ADD COLUMN prefix_key bigint;
COMMENT ON COLUMN deltakv.queue.prefix_key IS
    'Jobs of a tenant with the same key have prompts that begin alike; null where that beginning is short.';
CREATE FUNCTION deltakv.prefix_key(
    template text, template_version integer, document text, document_id bigint, messages jsonb
) RETURNS bigint
LANGUAGE sql STABLE
RETURN CASE
    WHEN messages IS NOT NULL THEN
        CASE WHEN pg_catalog.jsonb_typeof(messages) = 'array' AND pg_catalog.pg_column_size(messages) >= 1024
            THEN pg_catalog.hashtextextended((messages - '-1'::integer)::text, 1) END
    WHEN document_id IS NOT NULL THEN
        pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', template, template_version, document_id), 2)
    WHEN pg_catalog.octet_length(document) >= 1024 THEN
        pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', template, template_version, document), 3)
END;
COMMENT ON FUNCTION deltakv.prefix_key(text, integer, text, bigint, jsonb) IS
    'The key of the beginning of a job''s prompt: template and document, or all messages but the last.';

CREATE OR REPLACE FUNCTION deltakv.submit(
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
    shared_bytes integer;
    prefix bigint;
    fault_code text;
    fault_message text;
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
    END IF;
    IF submit.document_id IS NOT NULL THEN
        SELECT octet_length(d.content) INTO shared_bytes FROM deltakv.documents d
        WHERE d.document_id = submit.document_id AND d.tenant = owner;
        IF NOT FOUND THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('%s has no document %s', owner, submit.document_id);
        END IF;
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
    IF submit.messages IS NOT NULL OR submit.document_id IS NOT NULL OR octet_length(submit.document) >= 1024 THEN
        prefix := deltakv.prefix_key(submit.template, pinned, submit.document, submit.document_id, submit.messages);
    END IF;
    -- Most jobs have nothing that could be wrong.
    IF settings <> '{}' OR bindings <> '{}' OR submit.messages IS NOT NULL OR submit.deadline IS NOT NULL
        OR submit.version IS NOT NULL OR pinned IS NULL AND EXISTS (SELECT FROM deltakv.templates)
    THEN
        SELECT f.code, f.message INTO fault_code, fault_message FROM deltakv.submission_fault(
            submit.template, pinned, submit.version, settings, bindings, submit.messages, start_at, submit.deadline) f;
    END IF;
    blocked := blocked OR paused IS NOT NULL OR fault_code IS NOT NULL;
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
        unique_key, prefix_key)
    SELECT r.job_id, group_id, owner, rank,
        deltakv.input_bytes(submit.document, bindings) + coalesce(pg_column_size(submit.messages), 0)
            + coalesce(shared_bytes, 0),
        CASE WHEN waits THEN 'scheduled' ELSE 'available' END::deltakv.job_state,
        CASE WHEN waits THEN now() END,
        CASE WHEN NOT waits THEN now() END,
        CASE WHEN blocked THEN 'infinity' ELSE start_at END, tries, submit.deadline, submit.unique_key, prefix
    FROM recorded r
    RETURNING job_id INTO submitted_id;
    IF submitted_id IS NOT NULL THEN
        IF fault_code IS NOT NULL THEN
            INSERT INTO deltakv.rejections (job_id, batch_id, submitted_in, code, message)
            VALUES (submitted_id, group_id, pg_current_xact_id(), fault_code, fault_message);
        END IF;
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
    'depends_on; version picks an earlier version of the template. What is wrong with a job is on its own row in deltakv.results.';

-- With plain job_id in it, the planner takes this index for one that finds a job without its batch, where statistics say that
-- the queue is empty: a walk over all of it for each job.
DROP INDEX deltakv.queue_batch;
CREATE INDEX queue_batch ON deltakv.queue (batch_id, (job_id + 0));

CREATE OR REPLACE FUNCTION deltakv.count_submissions() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    verdicts deltakv.verdict[];
BEGIN
    -- Those that fail now are counted by how they end only.
    WITH mark AS (
        DELETE FROM deltakv.submission_marks m
        WHERE m.batch_id = NEW.batch_id AND m.submitted_in = NEW.submitted_in
        RETURNING m.*
    )
    INSERT INTO deltakv.batch_counts AS c (batch_id, slice, shard, scheduled, available, running, retryable)
    SELECT m.batch_id, deltakv.count_slice(), pg_backend_pid() % 8,
        count(q.scheduled_at) - (
            SELECT count(*) FROM deltakv.rejections r
            WHERE r.batch_id = NEW.batch_id AND r.submitted_in = NEW.submitted_in
                AND (SELECT w.scheduled_at FROM deltakv.queue w WHERE w.job_id = r.job_id) IS NOT NULL),
        count(q.available_at), count(q.running_at), count(q.retryable_at)
    FROM mark m
    JOIN deltakv.queue q ON q.batch_id = NEW.batch_id AND q.job_id + 0 >= (SELECT f.first_job_id FROM mark f)
        AND q.submitted_in = m.submitted_in
    GROUP BY m.batch_id
    ON CONFLICT (batch_id, slice, shard) DO UPDATE SET
        scheduled = c.scheduled + excluded.scheduled, available = c.available + excluded.available,
        running = c.running + excluded.running, retryable = c.retryable + excluded.retryable;
    LOOP
        WITH next AS MATERIALIZED (
            SELECT r.job_id FROM deltakv.rejections r
            WHERE r.batch_id = NEW.batch_id AND r.submitted_in = NEW.submitted_in ORDER BY r.job_id LIMIT 10000
        ), taken AS (
            DELETE FROM deltakv.rejections r USING next n WHERE r.job_id = n.job_id RETURNING r.*
        )
        SELECT array_agg((
            t.job_id, 'failed', 'failed', true, false, t.code, t.message, NULL)::deltakv.verdict ORDER BY t.job_id)
        INTO verdicts FROM taken t;
        EXIT WHEN verdicts IS NULL;
        PERFORM deltakv.settle(verdicts);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deltakv.count_submissions() IS
    'Counts, at commit, the jobs that a transaction submitted to a batch, and fails those that have no chance.';

CREATE FUNCTION deltakv.parsed(json text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN json::jsonb;
EXCEPTION
    -- A text, which is never what is asked for: the job's row says so.
    WHEN data_exception THEN RETURN to_jsonb(json);
END
$$;
COMMENT ON FUNCTION deltakv.parsed(text) IS 'JSON as such, and what is not JSON as a JSON text.';

CREATE VIEW deltakv.submissions AS
SELECT NULL::text AS template, NULL::text AS document, NULL::text AS custom_id, NULL::text AS batch, NULL::text AS options,
    NULL::text AS variables, NULL::text AS messages, NULL::integer AS priority, NULL::timestamptz AS run_at,
    NULL::timestamptz AS deadline, NULL::integer AS max_attempts, NULL::text[] AS tags, NULL::text AS idempotency_key,
    NULL::text AS unique_key, NULL::bigint[] AS depends_on, NULL::integer AS version, NULL::text AS tenant,
    NULL::bigint AS job_id
WHERE false;
COMMENT ON VIEW deltakv.submissions IS
    'Always empty; what is inserted is submitted: COPY deltakv.submissions (template, document, custom_id, batch) FROM STDIN, '
    'or INSERT … RETURNING job_id. Options, variables and messages are JSON as text, so that bad JSON is an error of its row.';
CREATE FUNCTION deltakv.submit_inserted() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.job_id := deltakv.submit(
        NEW.template, document => NEW.document, custom_id => NEW.custom_id, batch => NEW.batch,
        options => CASE WHEN NEW.options IS NOT NULL THEN deltakv.parsed(NEW.options) END,
        variables => CASE WHEN NEW.variables IS NOT NULL THEN deltakv.parsed(NEW.variables) END,
        messages => CASE WHEN NEW.messages IS NOT NULL THEN deltakv.parsed(NEW.messages) END,
        priority => NEW.priority, run_at => NEW.run_at, deadline => NEW.deadline, max_attempts => NEW.max_attempts,
        tags => NEW.tags, idempotency_key => NEW.idempotency_key, unique_key => NEW.unique_key,
        depends_on => NEW.depends_on, version => NEW.version, tenant => NEW.tenant);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION deltakv.submit_inserted() IS 'Submits a row that is inserted into deltakv.submissions.';
CREATE TRIGGER submit_inserted INSTEAD OF INSERT ON deltakv.submissions
FOR EACH ROW EXECUTE FUNCTION deltakv.submit_inserted();

CREATE FUNCTION deltakv.submit_many(
    jobs jsonb, template text DEFAULT NULL, batch text DEFAULT NULL, tenant text DEFAULT NULL
) RETURNS TABLE (place integer, custom_id text, job_id bigint, error_code text, error_message text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    fields CONSTANT text[] := ARRAY['template', 'document', 'custom_id', 'batch', 'options', 'variables', 'messages',
        'priority', 'run_at', 'deadline', 'max_attempts', 'tags', 'idempotency_key', 'unique_key', 'depends_on', 'version',
        'document_id'];
    owner CONSTANT text := deltakv.require_tenant(submit_many.tenant);
    job jsonb;
    wrong text;
    id bigint;
    fault record;
BEGIN
    IF jsonb_typeof(jobs) IS DISTINCT FROM 'array' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'deltakv.submit_many takes a JSON array of jobs',
            HINT = 'Write deltakv.submit_many(''[{"template": "summarize", "document": "…", "custom_id": "1"}]'').';
    END IF;
    place := 0;
    FOR job IN SELECT e.item FROM jsonb_array_elements(jobs) e (item) LOOP
        place := place + 1;
        custom_id := NULL;
        id := NULL;
        IF jsonb_typeof(job) <> 'object' THEN
            RETURN QUERY SELECT place, custom_id, id, 'invalid_job', 'a job is a JSON object';
            CONTINUE;
        END IF;
        custom_id := job ->> 'custom_id';
        SELECT CASE WHEN NOT e.name = ANY (fields) THEN format('there is no field ''%s'': the fields are %s',
                left(e.name, 100), array_to_string(fields, ', '))
            ELSE format('the field ''%s'' must be a text', e.name) END
        INTO wrong
        FROM jsonb_each(job) e (name, value)
        WHERE NOT e.name = ANY (fields) OR e.name IN ('template', 'document', 'batch', 'idempotency_key', 'unique_key')
            AND jsonb_typeof(e.value) NOT IN ('string', 'null')
        LIMIT 1;
        IF FOUND THEN
            RETURN QUERY SELECT place, custom_id, id, 'invalid_job', wrong;
            CONTINUE;
        END IF;
        BEGIN
            id := deltakv.submit(
                coalesce(job ->> 'template', submit_many.template), document => job ->> 'document',
                custom_id => custom_id, batch => coalesce(job ->> 'batch', submit_many.batch),
                options => nullif(job -> 'options', 'null'), variables => nullif(job -> 'variables', 'null'),
                messages => nullif(job -> 'messages', 'null'), priority => (job ->> 'priority')::integer,
                run_at => (job ->> 'run_at')::timestamptz, deadline => (job ->> 'deadline')::timestamptz,
                max_attempts => (job ->> 'max_attempts')::integer,
                tags => CASE WHEN job -> 'tags' <> 'null' THEN
                    ARRAY(SELECT t FROM jsonb_array_elements_text(job -> 'tags') t) END,
                idempotency_key => job ->> 'idempotency_key', unique_key => job ->> 'unique_key',
                depends_on => CASE WHEN job -> 'depends_on' <> 'null' THEN
                    ARRAY(SELECT d::bigint FROM jsonb_array_elements_text(job -> 'depends_on') d) END,
                version => (job ->> 'version')::integer, document_id => (job ->> 'document_id')::bigint, tenant => owner);
            SELECT r.code, r.message INTO fault FROM deltakv.rejections r WHERE r.job_id = id;
        EXCEPTION
            WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
                id := NULL;
                SELECT CASE SQLSTATE WHEN '23505' THEN 'custom_id_taken' ELSE 'invalid_job' END AS code,
                    SQLERRM AS message INTO fault;
        END;
        RETURN QUERY SELECT place, custom_id, id, fault.code, fault.message;
    END LOOP;
END
$$;
COMMENT ON FUNCTION deltakv.submit_many(jsonb, text, text, text) IS
    'Submits an array of jobs and returns a row for each, in their order: its id, or what is wrong with it. A job with an id '
    'and an error is stored and has failed; one without an id is not stored. The others go on. An element has the names of '
    'deltakv.submit''s arguments; template, batch and tenant given here hold for those that have none.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA deltakv FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deltakv.submit_many(jsonb, text, text, text), deltakv.parsed(text)
    TO deltakv_submitter, deltakv_admin;
GRANT INSERT ON deltakv.submissions TO deltakv_submitter, deltakv_admin;
GRANT SELECT ON deltakv.submissions TO deltakv_submitter, deltakv_admin;
GRANT SELECT ON deltakv.option_rules, deltakv.rejections TO deltakv_admin;
