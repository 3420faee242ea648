// SPDX-License-Identifier: Apache-2.0

/// Something that runs statements: a client, a connection, a transaction.
///
/// All methods throw `PostgresError`, or `CancellationError` when the task was cancelled before or while the statement
/// ran (the server is then told to stop it). A statement that finished in spite of the cancellation gives its result.
public protocol PostgresQuerying: Sendable {
    /// Runs one statement; `$1`, `$2`… in it stand for the parameters. With `prepared` the server parses and plans it
    /// once per connection, which pays for statements that run often.
    @discardableResult
    func query(_ sql: String, _ parameters: [any PostgresEncodable], prepared: Bool) async throws -> PostgresResult

    /// Runs statements separated by semicolons, as one implicit transaction unless they say otherwise; the result is the
    /// last one's.
    @discardableResult
    func script(_ sql: String) async throws -> PostgresResult

    /// Loads rows with COPY; the result is their number. All rows or none are stored.
    @discardableResult
    func copyIn<Rows: AsyncSequence>(
        _ target: PostgresCopyTarget, rows: Rows, isolation: isolated (any Actor)?
    ) async throws -> Int where Rows.Element == [PostgresValue]
}

extension PostgresQuerying {
    /// Runs one statement, unprepared.
    @discardableResult
    public func query(_ sql: String, _ parameters: [any PostgresEncodable] = []) async throws -> PostgresResult {
        try await query(sql, parameters, prepared: false)
    }

    /// Loads rows with COPY; the result is their number. All rows or none are stored.
    @discardableResult
    public func copyIn(
        _ target: PostgresCopyTarget, rows: some Sequence<[PostgresValue]>,
        isolation: isolated (any Actor)? = #isolation
    ) async throws -> Int {
        try await copyIn(target, rows: RowSequence(rows: rows), isolation: isolation)
    }
}

/// A plain sequence as an asynchronous one.
private struct RowSequence<Rows: Sequence>: AsyncSequence where Rows.Element == [PostgresValue] {
    let rows: Rows

    struct AsyncIterator: AsyncIteratorProtocol {
        var iterator: Rows.Iterator

        mutating func next() async throws -> [PostgresValue]? { iterator.next() }
        mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> [PostgresValue]? {
            iterator.next()
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(iterator: rows.makeIterator()) }
}
