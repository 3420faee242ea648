// SPDX-License-Identifier: Apache-2.0
import CPostgreSQL
import Logging

/// Owns libpq's connection object and closes it. Belongs to one `ConnectionCore`.
final class ConnectionHandle {
    let pointer: OpaquePointer
    private let notices: NoticeSink

    /// Begins to connect. Throws `connectionFailed` when memory is lacking or a keyword unknown.
    init(keywords: [String: String], logger: Logger) throws(PostgresError) {
        notices = NoticeSink(logger: logger)
        let sorted = keywords.sorted { $0.key < $1.key }
        guard !sorted.contains(where: { $0.key.utf8.contains(0) || $0.value.utf8.contains(0) }) else {
            throw PostgresError(.invalidSettings, "a connection setting contains a NUL character")
        }
        guard let pointer = Self.start(sorted.map(\.key), sorted.map(\.value)) else {
            throw PostgresError(.connectionFailed, "out of memory")
        }
        self.pointer = pointer
        // Verbose until the connection stands, for that is the only way to see the SQLSTATE of a refused one.
        PQsetErrorVerbosity(pointer, PQERRORS_VERBOSE)
        let sink = Unmanaged.passUnretained(notices).toOpaque()
        PQsetNoticeReceiver(
            pointer,
            { sink, result in
                guard let sink, let result else { return }
                Unmanaged<NoticeSink>.fromOpaque(sink).takeUnretainedValue().receive(result)
            }, sink)
        if PQstatus(pointer) == CONNECTION_BAD { throw connectionFailure() }
    }

    deinit { PQfinish(pointer) }

    /// Why no connection was made, from libpq's verbose message.
    func connectionFailure() -> PostgresError {
        let lines = String(cString: PQerrorMessage(pointer)).split(whereSeparator: \.isNewline)
        let shown = PostgresError.onOneLine(lines.filter { !$0.hasPrefix("LOCATION:") }.joined(separator: "\n"))
        // "FATAL:  28P01: password authentication failed …"; the code, after two blanks, is the same in every language.
        let state = shown.firstMatch(of: #/:  ([0-9A-Z]{5}): /#).map { String($0.1) }
        let message = state.map { shown.replacing("  \($0): ", with: " ", maxReplacements: 1) } ?? shown
        guard let state else { return PostgresError(.connectionFailed, message) }
        return PostgresError(.server, message, sqlState: state, severity: "FATAL")
    }

    /// What the server said when it ended the session while no statement ran.
    var farewell: PostgresError? { notices.farewell }

    /// The message of libpq about the last failure, on one line.
    var errorMessage: String {
        PostgresError.onOneLine(String(cString: PQerrorMessage(pointer)))
    }

    private static func start(_ keys: [String], _ values: [String]) -> OpaquePointer? {
        withCStrings(keys) { keys in withCStrings(values) { values in PQconnectStartParams(keys, values, 0) } }
    }

    /// Lends a null-terminated array of zero-terminated strings.
    private static func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
    ) -> Result {
        var bytes: [CChar] = []
        let offsets = strings.map { string in
            defer { bytes.append(contentsOf: string.utf8CString) }
            return bytes.count
        }
        return bytes.withUnsafeBufferPointer { buffer in
            var pointers = offsets.map { offset in buffer.baseAddress.map { $0 + offset } }
            pointers.append(nil)
            return pointers.withUnsafeBufferPointer { $0.baseAddress.map(body) }!
        }
    }
}

/// Writes the server's notices to the log, and keeps the one that ends the session. Detail and context are left out: they quote rows and statements.
private final class NoticeSink {
    private let logger: Logger
    private(set) var farewell: PostgresError?

    init(logger: Logger) { self.logger = logger }

    func receive(_ result: OpaquePointer) {
        let notice = PostgresError(result: result)
        if notice.severity == "FATAL" || notice.severity == "PANIC" { farewell = notice }
        guard logger.logLevel <= .debug else { return }
        logger.debug(
            "PostgreSQL notice",
            metadata: [
                "severity": "\(notice.severity ?? "")", "sqlstate": "\(notice.sqlState ?? "")",
                "message": "\(notice.message.prefix(200))",
            ])
    }
}

extension PostgresError {
    static func onOneLine(_ message: String) -> String {
        let lines = message.split(whereSeparator: \.isNewline).map { $0.drop { $0.isWhitespace } }
        return lines.joined(separator: " ")
    }

    /// The fields of a libpq result that reports an error.
    init(result: OpaquePointer) {
        func field(_ code: Int32) -> String? { PQresultErrorField(result, code).map { String(cString: $0) } }
        let message = field(ErrorField.message) ?? Self.onOneLine(String(cString: PQresultErrorMessage(result)))
        let state = field(ErrorField.sqlState)
        self.init(
            state == nil ? .connectionLost : .server, message, sqlState: state, severity: field(ErrorField.severity),
            detail: field(ErrorField.detail), hint: field(ErrorField.hint), constraint: field(ErrorField.constraint),
            table: field(ErrorField.table), column: field(ErrorField.column),
            position: field(ErrorField.position).flatMap { Int($0) })
    }
}

/// Field codes of error messages (`postgres_ext.h`; they are characters there, which Swift does not import).
private enum ErrorField {
    static let severity = Int32(UInt8(ascii: "V"))
    static let sqlState = Int32(UInt8(ascii: "C"))
    static let message = Int32(UInt8(ascii: "M"))
    static let detail = Int32(UInt8(ascii: "D"))
    static let hint = Int32(UInt8(ascii: "H"))
    static let position = Int32(UInt8(ascii: "P"))
    static let table = Int32(UInt8(ascii: "t"))
    static let column = Int32(UInt8(ascii: "c"))
    static let constraint = Int32(UInt8(ascii: "n"))
}
