// SPDX-License-Identifier: Apache-2.0
import SeededRandom
import Testing

@testable import StructuredOutput

@Suite struct AutomatonTests {
    private func automaton(_ schema: String) throws -> Automaton {
        Automaton(grammar: try SchemaReader.grammar(of: schema))
    }

    private func accepts(_ schema: String, _ text: String) throws -> Bool {
        let automaton = try automaton(schema)
        var state = automaton.start, next: [Reading] = []
        for byte in text.utf8 {
            automaton.advance(state, byte, into: &next)
            swap(&state, &next)
        }
        return automaton.isComplete(state)
    }

    static let person = """
        {"type": "object", "properties": {"name": {"type": "string", "minLength": 2, "maxLength": 5},
         "age": {"type": "integer", "minimum": 0, "maximum": 150}, "tags": {"type": "array", "items": {"enum": ["a", "ab", 1, 12, null]},
         "minItems": 1, "maxItems": 3}, "x": {"anyOf": [{"type": "null"}, {"type": "number"}]}}, "required": ["name", "age"]}
        """

    @Test(arguments: [
        (person, #"{"name":"Ann","age":41}"#, true), (person, #"{"age": 150, "name": "Zoë"}"#, true),
        (person, #"{"name":"Ann","age":151}"#, false), (person, #"{"name":"A","age":1}"#, false),
        (person, #"{"name":"Annabel","age":1}"#, false), (person, #"{"name":"Ann"}"#, false),
        (person, #"{"name":"Ann","age":1,"tags":[]}"#, false),
        (person, #"{"name":"Ann","age":1,"tags":["ab", 12,null]}"#, true),
        (person, #"{"name":"Ann","age":1,"tags":[1,1,1,1]}"#, false),
        (person, #"{"name":"Ann","age":1,"name":"Ann"}"#, false),
        (person, #"{"name":"Ann","age":01}"#, false), (person, #"{"name":"Ann","age":-1}"#, false),
        (person, #"{"name":"A\u00e9\n","age":1,"x":-0.5}"#, true), (person, #"{"name":"A\ud800x","age":1}"#, false),
        (person, #"{"name":"Ann","age":1,}"#, false), (person, #"{"name":"Ann","age":1,"x":null}"#, true),
        (person, #"{ "name":"Ann","age":1}"#, false), ("{}", #"{"a":[1,{"b":null}],"c":"d"}"#, true),
        ("{}", "tru", false),
        (#"{"type":"integer"}"#, "-12", true), (#"{"type":"integer"}"#, "-0", false),
        (#"{"type":"number"}"#, "1.", false),
        (#"{"type":["string","null"]}"#, "null", true), (#"{"const":{"a":[1,2.5]}}"#, #"{"a":[1,2.5]}"#, true),
        (#"{"type":"integer","minimum":-5,"maximum":-3}"#, "-4", true),
        (#"{"type":"integer","minimum":95,"maximum":105}"#, "100", true),
        (#"{"type":"integer","minimum":95,"maximum":105}"#, "94", false), (#"{"type":"boolean"}"#, "false", true),
        (#"{"type":"object","additionalProperties":{"type":"integer"}}"#, #"{"any":1, "key":2}"#, true),
        (#"{"type":"object","additionalProperties":{"type":"integer"}}"#, #"{"any":"x"}"#, false),
        (#"{"type":"object","properties":{},"additionalProperties":false}"#, "{}", true),
        (
            ##"{"$defs":{"n":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["next"]}},"$ref":"#/$defs/n"}"##,
            #"{"next":{"next":null}}"#, true
        ),
    ])
    func textsAreJudgedByTheSchema(schema: String, text: String, isValid: Bool) throws {
        #expect(try accepts(schema, text) == isValid, "\(text)")
    }

    @Test(arguments: [
        ("{", "not JSON"), (#"{"type":"thing"}"#, "must be one of"),
        (#"{"type":"array","uniqueItems":true}"#, "uniqueItems"),
        (#"{"not":{}}"#, "not"), (#"{"type":"number","minimum":1,"maximum":0.5}"#, "no number"),
        (#"{"type":"number","minimum":1e-9}"#, "exponent"),
        (#"{"type":"number","exclusiveMinimum":1,"maximum":1}"#, "no number"),
        (#"{"minLength":2,"maxLength":1,"type":"string"}"#, "above"),
        (#"{"enum":[]}"#, "enum"), (#"{"type":"integer","minimum":2,"maximum":1}"#, "range"),
        (##"{"$ref":"#/nowhere"}"##, "refers to nothing"),
        (##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##, "finite"),
        (#"{"anyOf":[]}"#, "1 to 64"),
        (#"{"required":["a"],"additionalProperties":false,"type":"object"}"#, "not allowed"), ("[]", "object"),
    ])
    func schemasThatCannotBeMetAreErrors(schema: String, words: String) {
        #expect {
            try SchemaReader.grammar(of: schema)
        } throws: {
            "\($0)".contains(words)
        }
    }

    static let schemas = [
        person, "{}", #"{"type":"array","items":{"type":"array","items":{"type":"string"},"minItems":1},"minItems":2}"#,
        #"{"type":"number","minimum":-1.5,"exclusiveMaximum":20.25}"#,
        #"{"type":"array","items":{"type":"number","exclusiveMinimum":0.125,"exclusiveMaximum":0.25}}"#,
        #"{"type":"number","maximum":-0.5}"#, #"{"type":"number","minimum":12,"exclusiveMaximum":13}"#,
        #"{"type":"integer","minimum":-120,"maximum":7}"#, #"{"enum":["a","ab","abc",{"k":[1]}]}"#,
        #"{"anyOf":[{"const":"longer text"},{"type":"string","minLength":3},{"type":"object","required":["z"]}]}"#,
        #"{"type":"object","properties":{"d":{"pattern":"^\\d{4}-(0[1-9]|1[0-2])$"},"q":{"pattern":"\"|é","maxLength":9}},"required":["d","q"]}"#,
        ##"{"$defs":{"t":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/t"}},"v":{"type":"number"}},"required":["kids"]}},"$ref":"#/$defs/t"}"##,
    ]

    /// Along random texts: what completes a text is accepted, and after its first byte the rest is what completes it.
    @Test(arguments: schemas) func everyStateCanBeCompleted(schema: String) throws {
        let automaton = try automaton(schema)
        var random = SplitMix(state: 7), next: [Reading] = []
        for _ in 0..<60 {
            var state = automaton.start
            for _ in 0..<120 {
                for reading in state {
                    let closing = automaton.closing(of: reading)
                    var rest = [reading]
                    for (place, byte) in closing.enumerated() {
                        automaton.advance(rest, byte, into: &next)
                        swap(&rest, &next)
                        let suffix = Array(closing[(place + 1)...])
                        #expect(rest.contains { automaton.closing(of: $0) == suffix }, "\(schema) \(reading)")
                    }
                    #expect(automaton.isComplete(rest))
                }
                let bytes = (UInt8.min...UInt8.max).filter { byte in
                    automaton.advance(state, byte, into: &next)
                    return !next.isEmpty
                }
                // Structure is rare among all bytes, so it is preferred half of the time.
                let structure = bytes.filter { "\"{}[],:\\".utf8.contains($0) }
                let choice = Bool.random(using: &random) && !structure.isEmpty ? structure : bytes
                guard let byte = choice.randomElement(using: &random) else { break }
                automaton.advance(state, byte, into: &next)
                swap(&state, &next)
            }
        }
    }
}
