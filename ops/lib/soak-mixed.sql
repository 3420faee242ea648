-- SPDX-License-Identifier: Apache-2.0
-- What ops/soak mixed submits, round after round. Variable: sample, the path of a text that documents are made of.
\set text `cat :sample`

CREATE TABLE public.sentences AS
SELECT n, s AS sentence FROM regexp_split_to_table(:'text', '(?<=[.!?"])\s+') WITH ORDINALITY AS t (s, n);

-- A text of about so many bytes; the same seed gives the same one.
CREATE FUNCTION public.document(seed integer, bytes integer) RETURNS text LANGUAGE sql AS $$
    SELECT left(string_agg(s.sentence, ' ' ORDER BY i.i), bytes)
    FROM generate_series(1, bytes / 60) i (i)
    JOIN public.sentences s ON s.n = 1 + abs(hashint8(seed * 100000::bigint + i.i)) % (SELECT count(*) FROM public.sentences)
$$;

CREATE FUNCTION public.submit_round(round integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    batch CONSTANT text := 'round-' || round / 5;
    short CONSTANT jsonb := '{"max_tokens": 12}';
BEGIN
    -- Prompts of all kinds.
    PERFORM deltakv.generate('Write a line about the number ' || round, custom_id => round || '-line', batch => batch,
        options => '{"max_tokens": 16, "temperature": 0.8, "top_p": 0.9}');
    PERFORM deltakv.submit('summarize', document => public.document(round, 1500 + 400 * (round % 9)),
        custom_id => round || '-summary', batch => batch, options => short, priority => round % 3);
    IF round % 2 = 0 THEN
        -- One of twenty documents, which come back: their beginnings are in the cache, or were until others made them go.
        PERFORM deltakv.ask(public.document(-1 - abs(hashint4(round)) % 20, 7000), ARRAY['What is it about?', 'Who is named?'],
            custom_id => round || '-ask', batch => batch, options => short);
    END IF;
    IF round % 3 = 0 THEN
        PERFORM deltakv.generate('Describe a person.', custom_id => round || '-json', batch => batch, options => '{"max_tokens": 40,
            "json_schema": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}}');
        PERFORM deltakv.generate('Name a river.', custom_id => round || '-samples', batch => batch,
            options => '{"max_tokens": 6, "n": 3, "temperature": 1, "logprobs": 2}');
    END IF;
    IF round % 12 = 0 THEN
        PERFORM deltakv.summarize(public.document(round, 20000), custom_id => round || '-tree', batch => batch,
            chunk_bytes => 6000, fan_in => 3, options => short);
    END IF;
    IF round % 10 = 0 THEN
        PERFORM deltakv.on_finish(batch, 'summarize', document => 'A batch has ended.', options => short, custom_id => round || '-follow-up', into_batch => 'follow-ups');
    END IF;
    -- Bad rows: some fail when they are submitted, some when a daemon has looked at them.
    IF round % 4 = 0 THEN
        PERFORM deltakv.submit('no such template', document => 'x', custom_id => round || '-template', batch => batch);
        PERFORM deltakv.submit('summarize', document => '', custom_id => round || '-empty', batch => batch);
        PERFORM deltakv.submit('summarize', document => public.document(round, 60000), custom_id => round || '-long', batch => batch);
        PERFORM deltakv.generate('x', custom_id => round || '-options', batch => batch, options => '{"temperature": -1}');
        PERFORM deltakv.generate('x', custom_id => round || '-schema', batch => batch, options => '{"json_schema": {"not": {}}}');
        PERFORM deltakv.submit('generate', custom_id => round || '-late', batch => batch, deadline => now() - interval '1 minute',
            messages => '[{"role": "user", "content": "x"}]');
    END IF;
    -- In other ways, at other times, after others.
    IF round % 5 = 0 THEN
        INSERT INTO deltakv.submissions (template, document, custom_id, batch, run_at, options)
        VALUES ('summarize', public.document(round + 1, 900), round || '-later', batch, now() + interval '20 seconds', short::text);
        PERFORM deltakv.submit_many(jsonb_build_array(
            jsonb_build_object('template', 'summarize', 'document', 'A short text.', 'custom_id', round || '-many', 'options', short),
            jsonb_build_object('document', 'no template')), batch => batch);
        PERFORM deltakv.submit('summarize', document => 'It waits for the line.', custom_id => round || '-after', batch => batch,
            options => short, depends_on => ARRAY[(SELECT max(job_id) FROM deltakv.jobs WHERE custom_id = round || '-line')]);
    END IF;
    -- Somebody changes his mind: about what runs, what waits, a whole batch, what has failed.
    IF round % 3 = 1 THEN
        PERFORM deltakv.cancel(job_id => q.job_id)
        FROM (SELECT max(job_id) AS job_id FROM deltakv.queue WHERE state IN ('running', 'available') GROUP BY state) q;
    END IF;
    IF round % 20 = 19 THEN
        PERFORM deltakv.cancel(batch => batch);
    END IF;
    IF round % 25 = 24 THEN
        PERFORM deltakv.redrive(batch => 'round-' || round / 5 - 1);
    END IF;
    IF round % 15 = 7 THEN
        PERFORM deltakv.pause('round-' || round / 5);
    END IF;
    IF round % 15 = 9 THEN
        PERFORM deltakv.resume('round-' || round / 5);
    END IF;
END
$$;
