// SPDX-License-Identifier: Apache-2.0

/// Looks for stop strings in a text that arrives in pieces.
///
/// What could still become a stop string is held back, so that no part of one is ever shown.
struct StopMatcher: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []
    /// Whether a stop string was found; nothing is released after it.
    private(set) var hasStopped = false

    init(stops: [String]) {
        self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
    }

    /// Takes the next piece and returns the text that is now certain to be output.
    mutating func append(_ piece: String) -> String {
        guard !hasStopped else { return "" }
        guard !stops.isEmpty else { return piece }
        held.append(contentsOf: piece.utf8)
        let release: Int
        if let match = firstMatch() {
            hasStopped = true
            release = match
        } else {
            release = firstOpenPrefix()
        }
        // Stop strings are whole UTF-8, so a place where one begins never lies inside a code point.
        let text = String(decoding: held[..<release], as: UTF8.self)
        held.removeFirst(release)
        return text
    }

    /// Takes a piece in which nothing is looked for, and returns it.
    mutating func pass(_ piece: String) -> String {
        guard !hasStopped else { return "" }
        defer { held = [] }
        return String(decoding: held, as: UTF8.self) + piece
    }

    /// The text held back, once the output has ended without a stop string.
    mutating func finish() -> String {
        guard !hasStopped else { return "" }
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    /// Where the earliest stop string begins in the held text.
    private func firstMatch() -> Int? {
        held.indices.first { start in stops.contains { held[start...].starts(with: $0) } }
    }

    /// Where the earliest unfinished stop string begins, or the end of the held text.
    private func firstOpenPrefix() -> Int {
        held.indices.first { start in stops.contains { $0.starts(with: held[start...]) } } ?? held.endIndex
    }
}
