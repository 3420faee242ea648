// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Tells systemd how the process is, by the protocol of `sd_notify(3)`: a datagram to the socket in `NOTIFY_SOCKET`.
public struct ServiceManager: Sendable {
    /// How often a sign of life is due; nil when nobody watches.
    public let watchdogInterval: Duration?
    private let address: String

    /// The service manager that started this process; nil if none did or it wants no messages.
    public init?(environment: [String: String] = ProcessInfo.processInfo.environment) {
        guard let address = environment["NOTIFY_SOCKET"], let first = address.first, first == "/" || first == "@" else {
            return nil
        }
        self.address = address
        let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(ProcessInfo.processInfo.processIdentifier)" } ?? true
        // Twice in the time allowed, so that one late message does no harm.
        watchdogInterval = environment["WATCHDOG_USEC"].flatMap { Int64($0) }
            .flatMap { isOurs && $0 > 0 ? .microseconds($0) / 2 : nil }
    }

    /// Sends a message such as `READY=1`.
    ///
    /// - Returns: Whether it was taken.
    @discardableResult
    public func notify(_ message: String) -> Bool {
        var socketAddress = sockaddr_un()
        socketAddress.sun_family = sa_family_t(AF_UNIX)
        var path = Array(address.utf8)
        let capacity = MemoryLayout.size(ofValue: socketAddress.sun_path)
        guard path.count < capacity else { return false }
        // A leading @ stands for the NUL of an abstract address.
        if path[0] == UInt8(ascii: "@") { path[0] = 0 }
        withUnsafeMutableBytes(of: &socketAddress.sun_path) { $0.copyBytes(from: path) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + path.count)
        let bytes = Array(message.utf8)
        let sent = withUnsafePointer(to: &socketAddress) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
        return sent == bytes.count
    }

    /// Says that the process is ready and then, as often as is due, that it lives, until the task is cancelled.
    public func keepInformed(of health: Health) async {
        notify("READY=1\nSTATUS=Taking jobs.")
        guard let watchdogInterval else { return }
        while (try? await Task.sleep(for: watchdogInterval)) != nil {
            if health.liveness().isGood { notify("WATCHDOG=1") }
        }
    }
}
