// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import ModelFiles

@Suite struct GGUFFileTests {
    let file: GGUFFile
    let metadata: GGUFMetadata

    init() throws {
        file = try GGUFFile(path: golden.appendingPathComponent("metadata.gguf").path)
        metadata = file.metadata
    }

    @Test func tensorsAreDescribed() throws {
        #expect(file.version == 3)
        #expect(file.tensors.map(\.name) == ["first", "second", "third"])
        #expect(file.tensors.map(\.shape) == [[3, 2], [4, 3, 2, 1], [96, 2]])
        #expect(file.tensors.map(\.elementCount) == [6, 24, 192])
        #expect(try file.tensor(named: "second").dequantized() == (0..<24).map(Float.init))
        #expect(file.tensors[2].bytes.count == 192 / 32 * 24)
    }

    @Test func scalarsOfEveryTypeAreRead() throws {
        #expect(try metadata.int("test.u8") == 200)
        #expect(try metadata.int("test.i8") == -100)
        #expect(try metadata.int("test.u16") == 60000)
        #expect(try metadata.int("test.i16") == -30000)
        #expect(try metadata.int("test.u32") == 4_000_000_000)
        #expect(try metadata.int("test.i32") == -2_000_000_000)
        #expect(try metadata.int("test.u64") == Int.max)
        #expect(try metadata.int("test.i64") == Int.min)
        #expect(try metadata.float("test.f32") == 1.5)
        #expect(try metadata.float("test.f64") == Float(-0.1))
        #expect(try metadata.bool("test.yes"))
        #expect(try !metadata.bool("test.no"))
        #expect(try metadata.string("test.text") == "naïve 漢字 🙂")
    }

    @Test func arraysAreRead() throws {
        #expect(try metadata.strings("test.strings") == ["", "a", "🙂"])
        #expect(try metadata.ints("test.ints") == [1, -2, 3])
        #expect(try metadata.floats("test.floats") == [0.5, -2.25])
    }

    @Test func absentKeysAreNilOrAnError() throws {
        #expect(try metadata.stringIfPresent("none") == nil)
        #expect(try metadata.intsIfPresent("none") == nil)
        let error = #expect(throws: GGUFError.self) { try metadata.float("none") }
        #expect(error?.reason == .missingKey("none"))
    }

    @Test func otherTypesAreAnError() throws {
        #expect(throws: GGUFError.self) { try metadata.string("test.u8") }
        #expect(throws: GGUFError.self) { try metadata.int("test.f32") }
        #expect(throws: GGUFError.self) { try metadata.intIfPresent("test.yes") }
        #expect(throws: GGUFError.self) { try metadata.int("test.ints") }
        #expect(throws: GGUFError.self) { try metadata.ints("test.u8") }
        #expect(throws: GGUFError.self) { try metadata.bool("test.u8") }
        #expect(throws: GGUFError.self) { try metadata.float("test.text") }
        #expect(throws: GGUFError.self) { try metadata.ints("test.bools") }
        let error = #expect(throws: GGUFError.self) { try metadata.strings("test.text") }
        #expect(
            error?.reason
                == .wrongType(key: "test.text", expected: "an array of strings", found: "a string value"))
    }

    @Test func integersBeyondIntAreAnError() {
        #expect(throws: GGUFError.self) { try metadata.int("test.u64.big") }
    }

    @Test func absentTensorsAreAnError() {
        let error = #expect(throws: GGUFError.self) { try file.tensor(named: "none") }
        #expect(error?.reason == .missingTensor("none"))
    }

    @Test func digestIsThatOfTheFile() throws {
        let file = try GGUFFile(path: golden.appendingPathComponent("q4_1.gguf").path)
        let expected = String(decoding: try goldenBytes("q4_1.sha256").dropLast(), as: UTF8.self)
        #expect(file.digest() == expected)
        #expect(file.digest() == expected)
    }

    @Test func versionTwoIsRead() throws {
        var bytes = try goldenBytes("q4_1.gguf")
        bytes[4] = 2
        let file = try open(bytes)
        #expect(file.version == 2)
        #expect(try file.tensors[0].dequantized().withUnsafeBytes { Array($0) } == goldenBytes("q4_1.f32"))
    }
}
