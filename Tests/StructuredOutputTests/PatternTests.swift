// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import StructuredOutput

@Suite struct PatternTests {
    private func accepts(_ schema: String, _ text: String) throws -> Bool {
        let automaton = Automaton(grammar: try SchemaReader.grammar(of: schema))
        var state = automaton.start, next: [Reading] = []
        for byte in text.utf8 {
            automaton.advance(state, byte, into: &next)
            swap(&state, &next)
        }
        return automaton.isComplete(state)
    }

    private func matches(_ pattern: String, _ text: String, least: Int = 0, most: Int? = nil) throws -> Bool {
        let table = try PatternTable(PatternReader.pattern(pattern), least: least, most: most)
        var state = 0
        for byte in JSONText.bytes(.string(text)).dropFirst().dropLast() {
            guard let next = table.after(state, byte) else { return false }
            state = next
        }
        return table.mayEnd(state)
    }

    @Test(arguments: [
        ("^[a-z]{2,4}$", ["ab", "abcd"], ["a", "abcde", "aB", ""]), ("^a|b$", ["ax", "xb", "ab"], ["xa", "bx"]),
        ("b", ["abc", "b"], ["", "ac"]), (#"^\d{4}-\d{2}$"#, ["2024-07"], ["2024-7", "x2024-07", "٢٠٢٤-07"]),
        ("^(foo|ba[rz])+$", ["foo", "barbaz"], ["", "ba"]), (#"^[^"\\]*$"#, ["", "plain é 漢 🙂"], [#"a"b"#, #"a\b"#]),
        (#"^[\s\S]*"$"#, [#"say "hi""#], ["say"]), (#"^\w+@\w+\.com$"#, ["a_1@b.com"], ["a@b.org", "é@b.com"]),
        ("^[à-ü]+$", ["éü"], ["e"]), ("^[\u{4e00}-\u{9fff}🙂]$", ["漢", "🙂"], ["字字", "a"]),
        ("^.$", ["a", "🙂", "é"], ["", "ab", "\n"]),
        (#"^\u0041\x42\/\.$"#, ["AB/."], ["AB/x"]), ("^a{0}$", [""], ["a"]), ("^x{2,}$", ["xx", "xxxxx"], ["x"]),
        (#"^[\w.-]+$"#, ["a.b-c"], ["a b"]), ("^(?:a|b)*?c$", ["c", "ababc"], ["ab"]), (#"^\D$"#, ["a"], ["1", "٢"]),
        ("^(?<year>[0-9]+)$", ["42"], [""]), ("^[]a]$", [], ["a"]), ("^{a}$", ["{a}"], ["a"]), ("^a{+2}$", [], ["aa"]),
        (#"^\W$"#, ["-"], ["a", "é", "_"]),
        (#"^[^\d]$"#, ["x"], ["4", "٢"]),
    ])
    func textsAreJudgedByThePattern(_ pattern: String, _ good: [String], _ bad: [String]) throws {
        if pattern == "^[]a]$" {
            // To JavaScript the first bracket ends an empty set, to Python it is in it: nothing is in both.
            #expect(throws: PatternError.self) { try matches(pattern, "a") }
            return
        }
        for text in good { #expect(try matches(pattern, text), "\(pattern) \(text)") }
        for text in bad { #expect(try !matches(pattern, text), "\(pattern) \(text)") }
    }

    @Test func lengthsCountCharacters() throws {
        #expect(try matches("^é+$", "éé", least: 2, most: 2))
        #expect(try !matches("^é+$", "é", least: 2, most: 2) && !matches("^é+$", "ééé", least: 2, most: 2))
        #expect(try matches("a", "bab", most: 3) && !matches("a", "baba", most: 3))
        #expect(try matches("\"", "\"\"", most: 2) && !matches("\"", "\"\"\"", most: 2))
        #expect(throws: PatternError.self) { try PatternTable(PatternReader.pattern("^aaa$"), least: 0, most: 2) }
    }

    @Test(arguments: [
        "(", "a)", "[a", "*a", "a**", "(?=a)", "(?<!a)b", "a^b", "a$b", #"\b"#, #"(a)\1"#, #"\p{L}"#, "[b-a]", #"\u12"#,
        "a{2,1}",
        "a{,2}", "a{99999999999999999999}", #"\x+1"#, #"\u+041"#,
        "a{5000}", "(a{900}){900}", "\\", "^(a|$)", #"[\d-z]"#,
    ])
    func whatIsNotRegularIsRefused(_ pattern: String) {
        #expect(throws: PatternError.self) { try PatternTable(PatternReader.pattern(pattern), least: 0, most: nil) }
    }

    @Test func aPatternThatExplodesIsRefusedSoon() {
        #expect(throws: PatternError.self) {
            try PatternTable(PatternReader.pattern("^[ab]*a[ab]{30}$"), least: 0, most: nil)
        }
    }

    /// Foundation's engine finds the pattern in every text that the table accepts.
    @Test(arguments: [
        "^[A-Z][a-z]{1,5}( [A-Z][a-z]+)*$", "colou?r|gr[ae]y", #"^\d{1,3}(\.\d{1,3}){3}$"#, "(ab|a)(bc|c)?$",
        "^x?y?z?$",
        #"^[^,;]+(;[^,;]+){0,3}$"#, "é|漢{2}",
    ])
    func whatIsAcceptedMatches(_ pattern: String) throws {
        let table = try PatternTable(PatternReader.pattern(pattern), least: 0, most: 24)
        let expression = try NSRegularExpression(pattern: pattern)
        var random = SplitMix(state: 5)
        for _ in 0..<200 {
            var state = 0, bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<40, using: &random) {
                let open = (UInt8.min...UInt8.max).filter { table.after(state, $0) != nil }
                let plain = open.filter { $0 < 0x80 }
                guard
                    let byte = (Bool.random(using: &random) && !plain.isEmpty ? plain : open).randomElement(
                        using: &random)
                else { break }
                bytes.append(byte)
                state = try #require(table.after(state, byte))
            }
            bytes += table.closing(of: state)
            let json = try JSONValue(json: "\"" + String(decoding: bytes, as: UTF8.self) + "\"")
            let text = try #require(json.text)
            #expect(text.unicodeScalars.count <= 24)
            let range = NSRange(text.startIndex..., in: text)
            #expect(expression.firstMatch(in: text, range: range) != nil, "\(pattern) \(text.debugDescription)")
        }
    }

    @Test(arguments: [
        (#"{"type":"string","pattern":"^a+$"}"#, #""aaa""#, true),
        (#"{"type":"string","pattern":"^a+$"}"#, #""""#, false),
        (#"{"pattern":"^a+$","maxLength":2}"#, #""aaa""#, false), (#"{"pattern":"q"}"#, #""say \"q\"""#, true),
        (#"{"pattern":"^\\t$"}"#, #""\t""#, true),
        (#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#, "null", true),
        (
            #"{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"},"y":{"type":"integer"}},"required":["k"]}]}"#,
            #"{"k":"b","y":3}"#, true
        ),
        (
            #"{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"},"y":{"type":"integer"}},"required":["k"]}]}"#,
            #"{"k":"b","x":3}"#, false
        ),
        (
            #"{"oneOf":[{"type":"object","properties":{"x":{}},"required":["x"],"additionalProperties":false},{"type":"object","properties":{"y":{}},"required":["y"],"additionalProperties":false}]}"#,
            #"{"y":1}"#, true
        ),
        (##"{"allOf":[{"$ref":"#/$defs/a"}],"description":"d","$defs":{"a":{"type":"integer"}}}"##, "3", true),
        (#"{"oneOf":[{"const":1},{"const":"1"},{"type":"integer","minimum":2},{"type":"array"}]}"#, "7", true),
    ])
    func newKeywordsAreKeptTo(_ schema: String, _ text: String, _ isValid: Bool) throws {
        #expect(try accepts(schema, text) == isValid, "\(text)")
    }

    @Test(arguments: [
        (#"{"oneOf":[{"type":"string"},{"const":"a"}]}"#, "both hold"),
        (#"{"oneOf":[{"const":1},{"const":1.0}]}"#, "both hold"),
        (#"{"oneOf":[{"type":"number"},{"type":"integer"}]}"#, "both hold"),
        (#"{"oneOf":[{},{"type":"null"}]}"#, "both hold"),
        (
            #"{"oneOf":[{"type":"object","properties":{"x":{}},"required":["x"]},{"type":"object","properties":{"y":{}},"required":["y"]}]}"#,
            "both hold"
        ),
        (#"{"allOf":[{"type":"string"},{"minLength":2}]}"#, "allOf of several"),
        (#"{"type":"string","pattern":"(?=a)"}"#, "looking ahead"),
        (#"{"type":"string","pattern":5}"#, "must be a text"),
        (#"{"type":"string","pattern":"^aaa$","maxLength":2}"#, "no text matches"),
    ])
    func whatCannotBePromisedIsAnError(_ schema: String, _ words: String) {
        #expect {
            try SchemaReader.grammar(of: schema)
        } throws: {
            "\($0)".contains(words)
        }
    }
}
