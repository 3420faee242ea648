// SPDX-License-Identifier: Apache-2.0
import CPostgreSQL
import Dispatch

extension ConnectionCore {
    /// Connects. Throws `PostgresError` of the kinds `connectionFailed`, `connectTimeout` or `server`, or
    /// `CancellationError`.
    func connect(_ settings: PostgresSettings) async throws {
        let keywords = settings.effectiveKeywords
        let timeout = settings.connectTimeout
        let deadline = DispatchTime.now() + .milliseconds(Int(timeout.components.seconds) * 1000)
        let handle = try ConnectionHandle(keywords: keywords, logger: logger)
        var state = PGRES_POLLING_WRITING
        while state != PGRES_POLLING_OK {
            guard state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING else {
                throw handle.connectionFailure()
            }
            let direction: SocketDirection = state == PGRES_POLLING_READING ? .read : .write
            switch await SocketWait.wait(PQsocket(handle.pointer), direction, until: deadline, on: executor.queue) {
            case .ready: state = PQconnectPoll(handle.pointer)
            case .cancelled: throw CancellationError()
            case .timedOut:
                throw PostgresError(
                    .connectTimeout, "no connection to \(settings) within \(timeout.components.seconds) s")
            case .noDescriptor:
                throw PostgresError(.connectionFailed, "no file descriptor is left; raise the limit (ulimit -n)")
            }
        }
        try adopt(handle)
        try await requireISODates()
    }

    /// Timestamps are read in the ISO style, which a role or a database may have changed.
    private func requireISODates() async throws {
        guard let style = parameter("DateStyle"), !style.hasPrefix("ISO") else { return }
        _ = try await run(.script(sql: "SET DateStyle TO ISO"), session: nil, isShielded: false)
    }
}
