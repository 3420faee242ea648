// SPDX-License-Identifier: Apache-2.0

/// Where a server listens: `127.0.0.1:9464`, `[::1]:9464`, `0.0.0.0:9464`, or a port alone for this machine only.
public struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    /// An address or a host's name.
    public let host: String
    /// 0 for any free port.
    public let port: Int

    /// Reads an address; nil if it is none.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else {
            guard let port = Self.port(text[...]) else { return nil }
            self.init(host: "127.0.0.1", port: port)
            return
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let port = Self.port(text[text.index(after: colon)...]), !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    /// An address of its parts.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Whether only this machine reaches it.
    public var isLoopback: Bool {
        host == "localhost" || host == "::1"
            || host.hasPrefix("127.") && host.split(separator: ".").count == 4
                && host.allSatisfy { $0 == "." || $0.isASCII && $0.isNumber }
    }

    /// As in a URL.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private static func port(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        return Int(text).flatMap { (0...65535).contains($0) ? $0 : nil }
    }
}
