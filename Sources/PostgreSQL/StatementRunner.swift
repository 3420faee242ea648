// SPDX-License-Identifier: Apache-2.0

/// Statements on one connection, within a session or outside any.
struct StatementRunner: Sendable {
    let core: ConnectionCore
    /// The session that holds the connection; nil when each statement waits for its turn.
    let session: UInt64?

    func run(_ request: Request, isShielded: Bool = false) async throws -> PostgresResult? {
        try await core.run(request, session: session, isShielded: isShielded)
    }

    func query(_ sql: String, _ parameters: [any PostgresEncodable], prepared: Bool) async throws -> PostgresResult {
        let values = parameters.map(\.postgresValue)
        return try required(await run(.statement(sql: sql, parameters: values, prepared: prepared)))
    }

    func script(_ sql: String) async throws -> PostgresResult { try required(await run(.script(sql: sql))) }

    /// Runs `body` with the connection to itself.
    func withSession<Value>(
        isolation: isolated (any Actor)? = #isolation, _ body: (StatementRunner) async throws -> Value
    ) async throws -> Value {
        guard session == nil else { return try await body(self) }
        let own = StatementRunner(core: core, session: core.nextIdentifier())
        _ = try await own.run(.openSession)
        defer { core.perform { [id = own.session] core in id.map { core.closeSession($0) } } }
        return try await body(own)
    }

    func copyIn<Rows: AsyncSequence>(
        _ target: PostgresCopyTarget, rows: Rows, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Int where Rows.Element == [PostgresValue] {
        let statement = try target.statement()
        return try await withSession { runner in
            _ = try await runner.run(.beginCopy(sql: statement))
            do {
                try await runner.send(rows, columns: target.columns.count)
                try Task.checkCancellation()
            } catch {
                // The server answers with an error of its own, which says less than ours.
                _ = try? await runner.run(.endCopy(failure: "the rows could not be sent"), isShielded: true)
                throw error
            }
            return try await runner.run(.endCopy(failure: nil))?.affectedRows ?? 0
        }
    }

    private func send<Rows: AsyncSequence>(
        _ rows: Rows, columns: Int, isolation: isolated (any Actor)? = #isolation
    ) async throws where Rows.Element == [PostgresValue] {
        var encoder = CopyEncoder()
        var number = 0
        for try await row in rows {
            number += 1
            try encoder.append(row, columns: columns, number: number)
            if encoder.bytes.count >= Self.copyChunk { _ = try await run(.copyData(encoder.take())) }
        }
        if !encoder.bytes.isEmpty { _ = try await run(.copyData(encoder.take())) }
    }

    /// Bytes of COPY data that are sent at once.
    private static let copyChunk = 1 << 18

    private func required(_ result: PostgresResult?) throws -> PostgresResult {
        guard let result else { throw PostgresError(.connectionLost, "the server sent no result") }
        return result
    }
}
