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

    /// Adds a subscriber, which gets what arrives from the next LISTEN on.
    func subscribe(_ channel: String, id: UInt64) throws(PostgresError) -> AsyncStream<PostgresNotification> {
        if let failure { throw failure }
        let (stream, continuation) = AsyncStream.makeStream(
            of: PostgresNotification.self, bufferingPolicy: .bufferingNewest(Self.notificationBuffer))
        subscribers[channel, default: [:]][id] = continuation
        return stream
    }

    func onTermination(of id: UInt64, channel: String, unlisten: String) {
        subscribers[channel]?[id]?.onTermination = { [weak self] _ in
            self?.perform { $0.unsubscribe(id, channel: channel, unlisten: unlisten) }
        }
    }

    func unsubscribe(_ id: UInt64, channel: String, unlisten: String) {
        subscribers[channel]?[id]?.finish()
        subscribers[channel]?[id] = nil
        guard subscribers[channel]?.isEmpty == true, isUsable else { return }
        subscribers[channel] = nil
        Task { _ = try? await run(.script(sql: unlisten), session: nil, isShielded: true) }
    }
}
