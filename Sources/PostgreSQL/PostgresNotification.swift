// SPDX-License-Identifier: Apache-2.0

/// A message that some session sent with NOTIFY.
public struct PostgresNotification: Sendable, Hashable {
    /// The channel it was sent on.
    public let channel: String
    /// The payload; empty when none was given.
    public let payload: String
    /// Process id of the session that sent it.
    public let backendProcessID: Int32
}

extension ConnectionCore {
    /// Notifications kept for a consumer that is slow; older ones are dropped, for each only says "look".
    static let notificationBuffer = 4096

    /// Adds a subscriber, which gets what arrives from now on until its consumer stops. The session goes on listening:
    /// an UNLISTEN could overtake the LISTEN of the next subscriber.
    func subscribe(_ channel: String) throws(PostgresError) -> AsyncStream<PostgresNotification> {
        if let failure { throw failure }
        let (stream, continuation) = AsyncStream.makeStream(
            of: PostgresNotification.self, bufferingPolicy: .bufferingNewest(Self.notificationBuffer))
        let id = nextIdentifier()
        subscribers[channel, default: [:]][id] = continuation
        continuation.onTermination = { [weak self] _ in self?.perform { $0.subscribers[channel]?[id] = nil } }
        return stream
    }
}
