// SPDX-License-Identifier: Apache-2.0

import Foundation
import Monitoring

extension Doctor {
    /// The addresses that a daemon with these settings listens on, and a path that it answers at each.
    var addresses: [Finding] {
        let monitoring = settings.monitoring
        let named = [
            ("metrics.listen", monitoring.metrics, "/health/live"), ("dashboard.listen", monitoring.dashboard, "/"),
        ]
        return named.compactMap { name, address, path in
            address.map { Self.listening(name, on: $0, asking: path) }
        }
    }

    static func listening(_ name: String, on address: ListenAddress, asking path: String) -> Finding {
        switch bindError(address) {
        case nil: return Finding(name, .good, "\(address) is free")
        case EADDRINUSE where answers(address, path):
            return Finding(name, .good, "\(address)\(path) answers: a daemon is there")
        case EADDRINUSE:
            return Finding(
                name, .bad, "something else listens on \(address)", advice: "end it, or give the daemon another port")
        case .some(let code):
            return Finding(
                name, .bad, "\(address) cannot be listened on: \(String(cString: strerror(code)))",
                advice: "name an address of this machine, and a port above 1023")
        }
    }

    private static func answers(_ address: ListenAddress, _ path: String) -> Bool {
        withSocket(address) { descriptor, target in
            var patience = timeval(tv_sec: 2, tv_usec: 0)
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
            }
            let request = Array("GET \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n".utf8)
            guard connect(descriptor, target.ai_addr, target.ai_addrlen) == 0,
                send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count
            else { return false }
            var reply = [UInt8](repeating: 0, count: 12)
            let wanted = Array("HTTP/1.1 200".utf8)
            return recv(descriptor, &reply, reply.count, Int32(MSG_WAITALL)) == reply.count && reply == wanted
        } ?? false
    }

    /// Tries to listen and lets go again.
    private static func bindError(_ address: ListenAddress) -> Int32? {
        withSocket(address) { descriptor, target in
            // As the server does: what only waits for its last packets is in nobody's way.
            var yes: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            let works = bind(descriptor, target.ai_addr, target.ai_addrlen) == 0 && listen(descriptor, 1) == 0
            return works ? nil : errno
        } ?? EADDRNOTAVAIL
    }

    /// Nil where the address has none.
    private static func withSocket<Value>(_ address: ListenAddress, _ body: (Int32, addrinfo) -> Value) -> Value? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address.host, "\(address.port)", &hints, &found) == 0, let target = found?.pointee else {
            return nil
        }
        defer { freeaddrinfo(found) }
        let descriptor = socket(target.ai_family, target.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), target.ai_protocol)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return body(descriptor, target)
    }
}
