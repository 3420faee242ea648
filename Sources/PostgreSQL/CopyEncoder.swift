// SPDX-License-Identifier: Apache-2.0

/// Rows in the text format of COPY (manual, "COPY", "Text Format").
struct CopyEncoder {
    private(set) var bytes: [UInt8] = []

    /// Throws `invalidRequest` for text with NUL.
    mutating func append(_ row: [PostgresValue], columns: Int, number: Int) throws(PostgresError) {
        guard row.count == columns else {
            throw PostgresError(.invalidRequest, "row \(number) has \(row.count) values for \(columns) columns")
        }
        for (index, value) in row.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: "\t")) }
            guard let text = value.textForm else {
                bytes.append(contentsOf: "\\N".utf8)
                continue
            }
            try PostgresText.requireNoNUL(text, in: "column \(index + 1) of row \(number)")
            append(escaping: text)
        }
        bytes.append(UInt8(ascii: "\n"))
    }

    /// What has been gathered, leaving nothing.
    mutating func take() -> [UInt8] {
        defer { bytes.removeAll(keepingCapacity: true) }
        return bytes
    }

    private mutating func append(escaping text: String) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\t"): bytes.append(contentsOf: "\\t".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            case UInt8(ascii: "\r"): bytes.append(contentsOf: "\\r".utf8)
            default: bytes.append(byte)
            }
        }
    }
}

/// Where COPY puts its rows.
public struct PostgresCopyTarget: Sendable, Hashable {
    /// Schema of the table; nil follows the search path.
    public let schema: String?
    /// Name of the table, unquoted.
    public let table: String
    /// Names of the columns, unquoted, in the order of the rows' values.
    public let columns: [String]

    /// A table's columns.
    public init(schema: String? = nil, table: String, columns: [String]) {
        self.schema = schema
        self.table = table
        self.columns = columns
    }

    func statement() throws(PostgresError) -> String {
        guard !columns.isEmpty else { throw PostgresError(.invalidRequest, "COPY needs at least one column") }
        var names: [String] = []
        for column in columns { names.append(try PostgresText.identifier(column)) }
        let prefix = if let schema { try PostgresText.identifier(schema) + "." } else { "" }
        return "COPY \(prefix)\(try PostgresText.identifier(table)) (\(names.joined(separator: ", "))) FROM STDIN"
    }
}
