-- Checks the seals of a ledger without any code of agentcost; docs/audit.md explains it.
--
-- Needs DuckDB 1.3 or newer, and two variables:
--     ledger   the ledger's directory, such as 'data/ledger'
--     entries  the live data files of its table `ledger`
--
-- Result: a row for each batch. `ok` says that its entries are those that were sealed, that the
-- seal is the digest of its line, and that the line follows the one before it.

CREATE OR REPLACE TEMP MACRO digits(amount) AS replace(amount::VARCHAR, '.', '')::HUGEINT;
CREATE OR REPLACE TEMP MACRO escaped(text) AS
  replace(replace(replace(text, '\', '\\'), chr(9), '\t'), chr(10), '\n');
CREATE OR REPLACE TEMP MACRO hex16(number) AS CASE WHEN number = '\N' THEN repeat('-', 16)
  ELSE lower(lpad(to_hex(number::BIGINT), 16, '0')) END;
CREATE OR REPLACE TEMP MACRO hex32(number) AS CASE WHEN number = '\N' THEN repeat('-', 32)
  ELSE lower(lpad(to_hex(number::HUGEINT), 32, '0')) END;
CREATE OR REPLACE TEMP MACRO lf() AS chr(10);

WITH
entries AS (
  FROM read_parquet(getvariable('entries'), hive_partitioning = true,
    hive_types = {'environment': VARCHAR, 'date': DATE})
),
-- Decimals as a count of their last digit, times as microseconds.
plain AS (
  SELECT * REPLACE (
    epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at,
    digits(duration_ms) AS duration_ms, digits(units) AS units,
    digits(gpu_seconds) AS gpu_seconds, digits(cpu_seconds) AS cpu_seconds,
    digits(gib_seconds) AS gib_seconds, digits(reported_cost_usd) AS reported_cost_usd,
    digits(cost_usd) AS cost_usd, digits(input_cost_usd) AS input_cost_usd,
    digits(cache_cost_usd) AS cache_cost_usd, digits(output_cost_usd) AS output_cost_usd,
    digits(unit_cost_usd) AS unit_cost_usd, digits(compute_cost_usd) AS compute_cost_usd,
    digits(list_cost_usd) AS list_cost_usd, digits(original_cost) AS original_cost,
    epoch_us(booked_at) AS booked_at
  ) FROM entries
),
-- All as text, NULL as \N.
texts AS (
  SELECT coalesce(escaped(COLUMNS(*)::VARCHAR), '\N') FROM plain
),
-- One line for each entry: ids, numbers, and digests of all other columns, a tab between.
lines AS (
  SELECT journal, batch_seq::BIGINT AS batch_seq, row_no::INTEGER AS row_no,
    'environment=' || environment || '/date=' || date AS part,
    concat_ws(chr(9), trace_id, span_id, parent_span_id, step_id,
      concat(
        hex16(started_at), hex16(ended_at), hex16(duration_ms), hex16(booked_at), hex16(row_no),
        hex16(input_tokens), hex16(cache_read_tokens), hex16(cache_write_short_tokens),
        hex16(output_tokens), hex16(reasoning_tokens), hex32(reported_cost_usd), hex32(cost_usd),
        hex32(input_cost_usd), hex32(cache_cost_usd), hex32(output_cost_usd),
        hex32(list_cost_usd), hex32(original_cost)
      ),
      sha256(concat_ws(chr(9),
        name, path, parent_run_id, labels, session_id, user_id, response_id
      )),
      sha256(concat_ws(chr(9),
        kind, status, service, feature, feature_from, team, team_from, workload_class,
        workload_class_from, tenant, tenant_from, environment_from, parent_run_id_from,
        unattributed_reason, owner_team, owner_feature, owner_service, agent, agent_version,
        workflow, provider, model, requested_model, tool, operation, target, service_tier,
        region, account, pricing_context, dialect, cache_write_long_tokens, input_audio_tokens,
        input_image_tokens, output_audio_tokens, output_image_tokens, units, unit, gpu_seconds,
        cpu_seconds, gib_seconds, request_bytes, response_bytes, usage_role, usage_rule,
        usage_note, unit_cost_usd, compute_cost_usd, cost_status, cost_reason, currency, rate_id,
        card_digest, sign, entry_reason
      ))
    ) || lf() AS line
  FROM texts
),
parts AS (
  SELECT journal, batch_seq, part, count(*) AS rows,
    sha256(string_agg(line, '' ORDER BY row_no)) AS hash
  FROM lines GROUP BY ALL
),
batches AS (
  SELECT journal, batch_seq, sum(rows) AS rows, sha256('agentcost.entries/1' || lf()
    || string_agg(part || ' ' || rows || ' ' || hash || lf(), '' ORDER BY part)) AS batch_hash
  FROM parts GROUP BY ALL
),
costs AS (
  SELECT journal, batch_seq, sum(cost_usd)::VARCHAR AS cost_usd FROM entries GROUP BY ALL
),
seals AS (
  SELECT *,
    lag(seal, 1, repeat('0', 64)) OVER (PARTITION BY journal ORDER BY batch_seq) AS before,
    sha256('agentcost.seal/1' || lf() || prev || lf() || journal || lf() || batch_seq || lf()
      || rows || lf() || coalesce(cost_usd, '\N') || lf() || batch_hash || lf()
      || sha256(array_to_string(list_append(files, ''), lf())) || lf() || sealed_at || lf()) AS digest
  FROM read_json(getvariable('ledger') || '/seals/*.jsonl', format = 'newline_delimited',
    columns = {journal: VARCHAR, batch_seq: BIGINT, rows: BIGINT, cost_usd: VARCHAR,
      batch_hash: VARCHAR, files: 'VARCHAR[]', sealed_at: VARCHAR, prev: VARCHAR, seal: VARCHAR})
)
SELECT journal, batch_seq, coalesce(batches.rows, 0) AS rows, costs.cost_usd,
  coalesce(seal = digest AND prev = before
    AND seals.rows = coalesce(batches.rows, 0)
    AND seals.cost_usd IS NOT DISTINCT FROM costs.cost_usd
    AND seals.batch_hash = coalesce(batches.batch_hash, sha256('agentcost.entries/1' || lf())),
    false) AS ok
FROM seals FULL JOIN batches USING (journal, batch_seq) LEFT JOIN costs USING (journal, batch_seq)
ORDER BY ok, journal, batch_seq;
