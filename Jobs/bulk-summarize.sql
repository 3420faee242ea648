-- SPDX-License-Identifier: Apache-2.0
-- Summarises every row of a table and shows the summaries beside the documents.
-- Run it with: deltakv db psql -- -f Jobs/bulk-summarize.sql
-- Works on the table `articles (id, title, body)`; running it twice submits nothing twice.

-- 1. One job a document. custom_id ties the result to the row; the batch groups them.
SELECT count(deltakv.submit('summarize', document => body, custom_id => id::text, batch => 'articles')) AS submitted
FROM articles;

-- 2. How far it is. Ask again whenever you like, or watch: \watch 2
SELECT * FROM deltakv.batch_progress WHERE batch = 'articles';

-- 3. The summaries, as far as they are there. A row that failed says why.
SELECT a.title, coalesce(r.output, r.state || ': ' || coalesce(r.error_message, 'not yet')) AS summary
FROM articles a
LEFT JOIN deltakv.results r ON r.batch = 'articles' AND r.custom_id = a.id::text
ORDER BY a.id;
