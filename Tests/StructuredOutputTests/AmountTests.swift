// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import StructuredOutput

/// Numbers between bounds.
@Suite struct AmountTests {
    private func automaton(_ bounds: String) throws -> Automaton {
        Automaton(grammar: try SchemaReader.grammar(of: "{\"type\":\"number\",\(bounds)}"))
    }

    private func accepts(_ automaton: Automaton, _ text: String) -> Bool {
        var state = automaton.start, next: [Reading] = []
        for byte in text.utf8 {
            automaton.advance(state, byte, into: &next)
            swap(&state, &next)
        }
        return automaton.isComplete(state)
    }

    private struct Range {
        let schema: String
        let holds: @Sendable (Double) -> Bool
    }

    private static let ranges = [
        Range(schema: #""minimum":0,"maximum":1"#) { $0 >= 0 && $0 <= 1 },
        Range(schema: #""exclusiveMinimum":0,"exclusiveMaximum":1"#) { $0 > 0 && $0 < 1 },
        Range(schema: #""minimum":-1.5,"maximum":2.25"#) { $0 >= -1.5 && $0 <= 2.25 },
        Range(schema: #""minimum":0.1,"exclusiveMaximum":0.3"#) { $0 >= 0.1 && $0 < 0.3 },
        Range(schema: #""maximum":-10"#) { $0 <= -10 }, Range(schema: #""minimum":99.5"#) { $0 >= 99.5 },
        Range(schema: #""exclusiveMaximum":0"#) { $0 < 0 },
        Range(schema: #""exclusiveMinimum":-0.05,"maximum":0"#) { $0 > -0.05 && $0 <= 0 },
        Range(schema: #""minimum":0,"exclusiveMinimum":0,"maximum":250"#) { $0 > 0 && $0 <= 250 },
        Range(schema: #""minimum":7.125,"maximum":7.125"#) { $0 == 7.125 },
        Range(schema: #""minimum":1,"exclusiveMinimum":-5"#) { $0 >= 1 },
    ]

    /// Every number of a grid is judged as by comparing it.
    @Test func gridsAreJudgedByComparing() throws {
        for range in Self.ranges {
            let automaton = try automaton(range.schema)
            for thousandths in -12_000...12_000 where thousandths % 5 == 0 || abs(thousandths) < 400 {
                let value = Double(thousandths) / 1000
                var text = value.description
                if text.hasSuffix(".0") { text.removeLast(2) }
                if text == "-0" { continue }
                #expect(accepts(automaton, text) == range.holds(value), "\(range.schema) \(text)")
                // More zeros are the same number.
                let longer = text.contains(".") ? text + "00" : text + ".0"
                #expect(accepts(automaton, longer) == range.holds(value), "\(range.schema) \(longer)")
            }
        }
    }

    /// What is written at random, and completed, is in the range and has at most 15 digits.
    @Test func whateverIsWrittenEndsInTheRange() throws {
        for range in Self.ranges {
            let automaton = try automaton(range.schema)
            var random = SplitMix(state: 3), next: [Reading] = []
            for _ in 0..<300 {
                var state = automaton.start, bytes: [UInt8] = []
                for _ in 0..<Int.random(in: 0..<20, using: &random) {
                    let open = "-.0123456789".utf8.filter { byte in
                        automaton.advance(state, byte, into: &next)
                        return !next.isEmpty
                    }
                    guard let byte = open.randomElement(using: &random) else { break }
                    bytes.append(byte)
                    automaton.advance(state, byte, into: &next)
                    swap(&state, &next)
                }
                let reading = try #require(state.first)
                let text = String(decoding: bytes + automaton.closing(of: reading), as: UTF8.self)
                let value = try #require(JSONValue(json: text).double)
                #expect(range.holds(value), "\(range.schema) \(text)")
                #expect(text.utf8.count { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: ".") } <= 15)
            }
        }
    }

    @Test(arguments: ["01", "1.", ".5", "--1", "+1", "1e2", "-", "1.2.3", "0x1", "0123"])
    func whatIsNoNumberIsNone(_ text: String) throws {
        #expect(try !accepts(automaton(#""minimum":-1000,"maximum":1000"#), text))
    }
}
