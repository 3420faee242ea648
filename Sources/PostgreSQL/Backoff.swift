// SPDX-License-Identifier: Apache-2.0

/// Waiting times between tries: they double up to a limit, each drawn at random from its upper half, so that many
/// clients of a server that comes back do not all knock at once.
struct Backoff {
    private var ceiling: Duration = .milliseconds(100)

    private static let limit: Duration = .seconds(10)

    /// The next waiting time.
    mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        defer { ceiling = min(ceiling * 2, Self.limit) }
        return ceiling * Double.random(in: 0.5...1, using: &generator)
    }

    /// Waits. Throws `CancellationError`.
    mutating func wait() async throws {
        var generator = SystemRandomNumberGenerator()
        try await Task.sleep(for: next(using: &generator))
    }
}
