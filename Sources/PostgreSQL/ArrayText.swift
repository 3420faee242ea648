// SPDX-License-Identifier: Apache-2.0

/// The text form of one-dimensional arrays (PostgreSQL manual, "Array Input and Output Syntax").
enum ArrayText {
    /// Every element is quoted, so that none can be taken for syntax or for the word NULL.
    static func format(_ elements: [String?]) -> String {
        var text: [UInt8] = [UInt8(ascii: "{")]
        for (index, element) in elements.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            guard let element else {
                text.append(contentsOf: "NULL".utf8)
                continue
            }
            text.append(UInt8(ascii: "\""))
            for byte in element.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { text.append(UInt8(ascii: "\\")) }
                text.append(byte)
            }
            text.append(UInt8(ascii: "\""))
        }
        text.append(UInt8(ascii: "}"))
        return String(decoding: text, as: UTF8.self)
    }

    /// The elements, or nil where `text` is not a one-dimensional array. Explicit bounds (`[0:1]={…}`) are dropped.
    static func parse(_ text: String) -> [String?]? {
        var parser = Parser(bytes: Array(text.utf8))
        return parser.array()
    }

    private struct Parser {
        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func array() -> [String?]? {
            if bytes.first == UInt8(ascii: "["), let equals = bytes.firstIndex(of: UInt8(ascii: "=")) {
                position = equals + 1
            }
            guard take(UInt8(ascii: "{")) else { return nil }
            var elements: [String?] = []
            if take(UInt8(ascii: "}")) { return position == bytes.count ? elements : nil }
            while true {
                guard let parsed = element() else { return nil }
                elements.append(parsed.text)
                if take(UInt8(ascii: "}")) { return position == bytes.count ? elements : nil }
                guard take(UInt8(ascii: ",")) else { return nil }
            }
        }

        private mutating func take(_ byte: UInt8) -> Bool {
            guard position < bytes.count, bytes[position] == byte else { return false }
            position += 1
            return true
        }

        private mutating func element() -> (text: String?, quoted: Bool)? {
            let quoted = take(UInt8(ascii: "\""))
            var content: [UInt8] = []
            while position < bytes.count {
                let byte = bytes[position]
                if quoted ? byte == UInt8(ascii: "\"") : isDelimiter(byte) { break }
                if byte == UInt8(ascii: "\\") { position += 1 }
                guard position < bytes.count else { return nil }
                content.append(bytes[position])
                position += 1
            }
            if quoted {
                guard take(UInt8(ascii: "\"")) else { return nil }
            } else if content.isEmpty || content.contains(UInt8(ascii: "{")) {
                return nil
            }
            let text = String(decoding: content, as: UTF8.self)
            return (!quoted && text == "NULL" ? nil : text, quoted)
        }

        private func isDelimiter(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") }
    }
}
