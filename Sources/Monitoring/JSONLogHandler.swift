// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Synchronization

/// Writes each log message as one line of JSON, for machines to collect: `time`, `level`, `logger`, `message`, and the
/// metadata under its own names.
public struct JSONLogHandler: LogHandler {
    /// Messages below it are not written.
    public var logLevel: Logger.Level = .info
    /// What every line carries.
    public var metadata: Logger.Metadata = [:]
    /// Gives more of it at the time of a message.
    public var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let write: @Sendable (String) -> Void

    /// A handler that writes to standard error, or to `write`, a whole line each time.
    public init(label: String, write: @escaping @Sendable (String) -> Void = JSONLogHandler.writeToStandardError) {
        self.label = label
        self.write = write
    }

    /// A piece of the metadata that every line carries.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes a message.
    public func log(event: LogEvent) {
        var fields = (metadataProvider?.get() ?? [:]).merging(metadata) { _, new in new }
            .merging(event.metadata ?? [:]) { _, new in new }.mapValues(\.jsonText)
        if let error = event.error { fields["error"] = "\(error)".jsonQuoted }
        // The fields of every line last: no metadata may take their names.
        fields["time"] = Date.now.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)).jsonQuoted
        fields["level"] = event.level.rawValue.jsonQuoted
        fields["logger"] = label.jsonQuoted
        fields["message"] = "\(event.message)".jsonQuoted
        let body = fields.sorted { $0.key < $1.key }.map { "\($0.key.jsonQuoted):\($0.value)" }
        write("{\(body.joined(separator: ","))}\n")
    }

    /// One call of `write(2)`, so that lines of several threads do not mix.
    public static func writeToStandardError(_ line: String) {
        FileHandle.standardError.write(Data(line.utf8))
    }
}

extension Logger.MetadataValue {
    fileprivate var jsonText: String {
        switch self {
        case .string(let text): text.jsonQuoted
        case .stringConvertible(let value): "\(value)".jsonQuoted
        case .array(let values): "[\(values.map(\.jsonText).joined(separator: ","))]"
        case .dictionary(let fields):
            "{\(fields.sorted { $0.key < $1.key }.map { "\($0.key.jsonQuoted):\($0.value.jsonText)" }.joined(separator: ","))}"
        }
    }
}

extension String {
    /// The text as a JSON string, quotes included.
    public var jsonQuoted: String {
        var quoted = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
