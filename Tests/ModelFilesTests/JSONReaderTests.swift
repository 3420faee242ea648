// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import ModelFiles

@Suite struct JSONReaderTests {
    private func read(_ text: String) throws -> JSONValue {
        try Array(text.utf8).withUnsafeBytes { try JSONReader.read($0) }
    }

    /// The value in Foundation's terms, for comparison with its reader.
    private func plain(_ value: JSONValue) -> NSObject {
        switch value {
        case .null: NSNull()
        case .bool(let value): NSNumber(value: value)
        case .integer(let value): NSNumber(value: value)
        case .number(let value): NSNumber(value: value)
        case .string(let value): NSString(string: value)
        case .array(let values): NSArray(array: values.map(plain))
        case .object(let members):
            NSDictionary(dictionary: Dictionary(members.map { ($0.key, plain($0.value)) }, uniquingKeysWith: { $1 }))
        }
    }

    @Test(arguments: [
        "null", " [ ] ", "{}", "[1,-2,0,-0.5,1e3,1.25E-2,123456789012345678901]", #"{"a":{"b":[true,false,null]}}"#,
        #""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude42 é""#, "[[[[1]]],2]", "\t{\n\"x\" : \r\"y\" }",
    ])
    func agreesWithFoundation(_ text: String) throws {
        let expected = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
        #expect(plain(try read(text)).isEqual(expected))
    }

    @Test(arguments: [
        "", " ", "nul", "tru", "{", "[", "[1,", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "[1,]", "{\"a\":1,}", "01",
        "1.", ".5",
        "-", "+1", "1e", "1e999", "NaN", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"a\nb\"", "1 1", "\u{feff}1", "// no",
    ])
    func wrongTextsAreRefused(_ text: String) { #expect(throws: JSONError.self) { try read(text) } }

    @Test func bytesThatAreNoTextAreRefused() {
        for bytes: [UInt8] in [[0x22, 0xff, 0x22], [0x22, 0xc3, 0x22], [0xff]] {
            #expect(throws: JSONError.self) { try bytes.withUnsafeBytes { try JSONReader.read($0) } }
        }
    }

    @Test func depthIsLimited() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try read(nested(JSONReader.maximumDepth)) }
        for depth in [JSONReader.maximumDepth + 1, 1_000_000] {
            #expect(throws: JSONError.self) { try read(nested(depth)) }
            #expect(throws: JSONError.self) { try read(String(repeating: "{\"a\":", count: depth)) }
        }
    }
}
