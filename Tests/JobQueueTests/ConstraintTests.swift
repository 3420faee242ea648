// SPDX-License-Identifier: Apache-2.0
import Foundation
import JobQueue
import PostgreSQL
import SeededRandom
import Testing

/// The tables themselves refuse rows that make no sense, whoever writes them.
@Suite(.serialized) struct ConstraintTests {
    private static let states = JobState.allCases
    private static let waitingTimes = ["scheduled_at", "available_at", "running_at", "retryable_at"]
    private static let lease = ["token", "worker_id", "lease_expires_at", "prompt_tokens_done", "output_tokens_done"]
    private static let leaseExtras = ["attempt_deadline", "cancel_requested_at"]
    private static let endTimes = ["completed_at", "failed_at", "cancelled_at"]
    private static let result = [
        "output", "finish_reason", "prompt_tokens", "cached_tokens", "output_tokens", "prefill_seconds",
        "decode_seconds",
    ]

    /// All combinations of state and timestamps, each with many choices of the other columns.
    @Test func theQueueHoldsOnlyConsistentRows() async throws {
        var random = SplitMix(state: 1)
        var rows: [(row: [String: String], isSound: Bool)] = []
        for state in Self.states {
            for mask in 0..<16 {
                for _ in 0..<40 {
                    let times = Self.waitingTimes.enumerated().filter { mask >> $0.offset & 1 == 1 }.map(\.element)
                    let parts = Self.choose(from: Self.lease, using: &random)
                    let extras = Self.choose(from: Self.leaseExtras, using: &random)
                    let attempt = Int.random(in: -1...4, using: &random)
                    let negative = ["input_bytes", "interruptions", ""].randomElement(using: &random)!
                    var row = ["state": state.rawValue, "attempt": String(attempt)]
                    for name in times + parts + extras { row[name] = Self.value(of: name) }
                    if Int.random(in: 0..<8, using: &random) == 0, !negative.isEmpty { row[negative] = "-1" }
                    rows.append((row, Self.isSoundQueueRow(state, times, parts, extras, attempt, row)))
                }
            }
        }
        try await check(
            rows, table: "queue",
            base: [
                "run_at": "2026-01-01", "batch_id": "1", "priority": "0", "input_bytes": "0", "interruptions": "0",
                "max_attempts": "3", "tenant": "t", "submitted_in": "3", "is_alone": "false", "deaths_alone": "0",
            ])
    }

    @Test func theRecordHoldsOnlyConsistentOutcomes() async throws {
        var random = SplitMix(state: 2)
        var rows: [(row: [String: String], isSound: Bool)] = []
        for state in Self.states {
            for mask in 0..<8 {
                for _ in 0..<60 {
                    let times = Self.endTimes.enumerated().filter { mask >> $0.offset & 1 == 1 }.map(\.element)
                    let parts = Self.choose(from: Self.result, using: &random)
                    let errors = Self.choose(from: ["error_code", "error_message"], using: &random)
                    let run = Self.choose(from: ["started_at", "worker_id", "token"], using: &random)
                    var row = ["state": state.rawValue]
                    for name in times + parts + errors + run { row[name] = Self.value(of: name) }
                    if Int.random(in: 0..<6, using: &random) == 0 { row["error_detail"] = "{}" }
                    if Int.random(in: 0..<6, using: &random) == 0, row["cached_tokens"] != nil {
                        row["cached_tokens"] = ["-1", "5", "6"].randomElement(using: &random)!
                    }
                    rows.append((row, Self.isSoundOutcome(state, times, parts, errors, run, row)))
                }
            }
        }
        try await check(rows, table: "outcomes", base: ["batch_id": "1", "attempts": "1"])
    }

    private static func isSoundQueueRow(
        _ state: JobState, _ times: [String], _ parts: [String], _ extras: [String], _ attempt: Int,
        _ row: [String: String]
    ) -> Bool {
        guard !state.isFinal, times == ["\(state)_at"] else { return false }
        guard row["input_bytes"] != "-1", row["interruptions"] != "-1" else { return false }
        switch state {
        case .running: return parts == lease && (1...3).contains(attempt)
        case .scheduled: return parts.isEmpty && extras.isEmpty && attempt == 0
        case .retryable: return parts.isEmpty && extras.isEmpty && (1...2).contains(attempt)
        default: return parts.isEmpty && extras.isEmpty && (0...2).contains(attempt)
        }
    }

    private static func isSoundOutcome(
        _ state: JobState, _ times: [String], _ parts: [String], _ errors: [String], _ run: [String],
        _ row: [String: String]
    ) -> Bool {
        guard state.isFinal, times == ["\(state)_at"] else { return false }
        let isDetailed = row["error_detail"] != nil
        switch state {
        case .completed:
            return parts == result && errors.isEmpty && !isDetailed && run.count == 3 && row["cached_tokens"] != "-1"
                && row["cached_tokens"] != "6"
        case .failed: return parts.isEmpty && errors.count == 2
        default: return parts.isEmpty && errors.isEmpty && !isDetailed
        }
    }

    /// All, none, or any of the names: the consistent choices come up often enough to be tested too.
    private static func choose(from names: [String], using random: inout SplitMix) -> [String] {
        switch Int.random(in: 0..<5, using: &random) {
        case 0, 1: names
        case 2, 3: []
        default: names.filter { _ in Bool.random(using: &random) }
        }
    }

    private static func value(of column: String) -> String {
        if column.hasSuffix("_at") || column.hasSuffix("_deadline") { return "2026-01-01" }
        return column.hasPrefix("error") || column == "output" || column == "finish_reason" ? "text" : "5"
    }

    /// Tries to store every row and compares with what ought to be possible.
    private func check(
        _ rows: [(row: [String: String], isSound: Bool)], table: String, base: [String: String]
    ) async throws {
        #expect(rows.contains { $0.isSound })
        let texts = try rows.enumerated().map { index, entry in
            let row = base.merging(entry.row) { $1 }.merging(["job_id": String(index)]) { $1 }
            return String(decoding: try JSONEncoder().encode(row), as: UTF8.self)
        }
        try await withQueue(connections: 1) { fixture in
            try await fixture.client.script(
                """
                CREATE FUNCTION accepts(candidate jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
                BEGIN
                    INSERT INTO deltakv.\(table) SELECT * FROM jsonb_populate_record(NULL::deltakv.\(table), candidate);
                    RETURN true;
                EXCEPTION WHEN check_violation THEN
                    RETURN false;
                END
                $$
                """)
            let accepted = try await fixture.client.query(
                """
                SELECT accepts(candidate::jsonb) AS accepted
                FROM unnest($1::text[]) WITH ORDINALITY AS r (candidate, place) ORDER BY place
                """, [texts])
            for (index, row) in accepted.enumerated() {
                #expect(try row.get("accepted", as: Bool.self) == rows[index].isSound, "\(rows[index].row)")
            }
        }
    }
}
