// SPDX-License-Identifier: Apache-2.0

/// Finds the names of control tokens in what a template's makers wrote: from the left, the longest first.
struct ControlTokenFinder: Sendable {
    private struct Name {
        let bytes: [UInt8]
        let token: TokenID
    }

    /// The names by their first byte, longer ones first.
    private let names: [UInt8: [Name]]

    init(_ tokens: [String: TokenID]) {
        let all = tokens.map { Name(bytes: Array($0.key.utf8), token: $0.value) }.filter { !$0.bytes.isEmpty }
        names = Dictionary(grouping: all) { $0.bytes[0] }.mapValues { group in
            group.sorted { $0.bytes.count > $1.bytes.count }
        }
    }

    /// Takes markup apart.
    func forEachPart(of markup: String, text: (String) -> Void, token: (TokenID) -> Void) {
        let bytes = Array(markup.utf8)
        var start = 0, place = 0
        while place < bytes.count {
            guard let name = names[bytes[place]]?.first(where: { bytes[place...].starts(with: $0.bytes) }) else {
                place += 1
                continue
            }
            if start < place { text(String(decoding: bytes[start..<place], as: UTF8.self)) }
            token(name.token)
            place += name.bytes.count
            start = place
        }
        if start < place { text(String(decoding: bytes[start..<place], as: UTF8.self)) }
    }
}
