// SPDX-License-Identifier: Apache-2.0

/// Parameters as libpq takes them: types, and one buffer of zero-terminated texts and of byte strings.
struct EncodedParameters {
    private(set) var types: [UInt32] = []
    private var bytes: [UInt8] = []
    private var offsets: [Int?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []

    /// The protocol counts parameters in 16 bits.
    private static let maximumCount = 65_535

    /// Throws `invalidRequest` for text with NUL, which PostgreSQL cannot hold, and for too many or too long values.
    init(_ values: [PostgresValue]) throws(PostgresError) {
        guard values.count <= Self.maximumCount else {
            throw PostgresError(
                .invalidRequest, "\(values.count) parameters given; a statement takes at most \(Self.maximumCount)")
        }
        for (index, value) in values.enumerated() {
            types.append(value.typeID)
            try append(value, number: index + 1)
        }
    }

    private mutating func append(_ value: PostgresValue, number: Int) throws(PostgresError) {
        var length = 0
        if case .bytea(let content) = value {
            offsets.append(bytes.count)
            formats.append(1)
            bytes.append(contentsOf: content)
            length = content.count
        } else if let text = value.textForm {
            try PostgresText.requireNoNUL(text, in: "parameter $\(number)")
            offsets.append(bytes.count)
            formats.append(0)
            bytes.append(contentsOf: text.utf8)
            length = text.utf8.count
        } else {
            offsets.append(nil)
            formats.append(0)
        }
        bytes.append(0)
        guard let shortLength = Int32(exactly: length) else {
            throw PostgresError(.invalidRequest, "parameter $\(number) has \(length) bytes; the limit is 2 GiB")
        }
        lengths.append(shortLength)
    }

    /// Lends values, lengths and formats for one call into libpq.
    func withPointers<Result>(
        _ body: (
            _ values: UnsafePointer<UnsafePointer<CChar>?>?, _ lengths: [Int32], _ formats: [Int32]
        ) -> Result
    ) -> Result {
        bytes.withUnsafeBytes { buffer in
            let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            let values = offsets.map { offset in offset.flatMap { base?.advanced(by: $0) } }
            return values.withUnsafeBufferPointer { body($0.baseAddress, lengths, formats) }
        }
    }
}

/// Checks and quoting of text that goes to the server.
enum PostgresText {
    /// Throws `invalidRequest` when `text` has a NUL, at which libpq would cut it off.
    static func requireNoNUL(_ text: String, in place: String) throws(PostgresError) {
        guard text.utf8.contains(0) else { return }
        throw PostgresError(
            .invalidRequest,
            "\(place) contains a NUL character, which PostgreSQL text cannot hold; remove it or use bytea",
            sqlState: "22021")
    }

    /// A quoted identifier. Throws `invalidRequest` for NUL.
    static func identifier(_ name: String) throws(PostgresError) -> String {
        try requireNoNUL(name, in: "the identifier")
        return "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
