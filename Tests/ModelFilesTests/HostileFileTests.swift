// SPDX-License-Identifier: Apache-2.0
import Foundation
import SeededRandom
import Testing

@testable import ModelFiles

/// The reason why bytes are refused, nil (and a failed expectation) where they are not.
private func refusal(_ bytes: [UInt8], _ location: SourceLocation = #_sourceLocation) -> GGUFError.Reason? {
    (#expect(throws: GGUFError.self, sourceLocation: location) { try open(bytes) })?.reason
}

extension GGUFError.Reason {
    /// Whether this says that the file contradicts itself, in a sentence with these words.
    fileprivate func isMalformed(_ words: String) -> Bool {
        if case .malformed(let sentence) = self { sentence.contains(words) } else { false }
    }
    fileprivate var isTruncated: Bool { if case .truncated = self { true } else { false } }
    fileprivate var isUnreadable: Bool { if case .unreadable = self { true } else { false } }
}

@Suite struct HostileFileTests {
    @Test func filesThatAreNoFiles() {
        for path in ["/nonexistent/model.gguf", golden.path, "/dev/zero", ""] {
            let error = #expect(throws: GGUFError.self) { try GGUFFile(path: path) }
            #expect(error?.reason.isUnreadable == true)
        }
    }

    @Test func headers() {
        #expect(refusal([])?.isTruncated == true)
        #expect(refusal(Array("GG".utf8))?.isTruncated == true)
        #expect(refusal(GGUFBuilder(magic: "GGML").bytes) == .notGGUF)
        for version: UInt32 in [0, 1, 4, 77] {
            #expect(refusal(GGUFBuilder(version: version).bytes) == .unsupportedVersion(version))
        }
        #expect(refusal(GGUFBuilder(version: UInt32(3).byteSwapped).bytes) == .bigEndian)
        #expect(refusal(GGUFBuilder(tensors: .max).bytes)?.isMalformed("number of tensors") == true)
        #expect(refusal(GGUFBuilder(keys: 1 << 40).bytes)?.isMalformed("number of metadata keys") == true)
    }

    @Test func stringLengths() {
        for length: UInt64 in [6, 1 << 40, 1 << 63, .max] {
            var builder = GGUFBuilder(keys: 1)
            builder.append(length)
            builder.bytes += Array(repeating: 0x61, count: 5)
            #expect(refusal(builder.bytes)?.isTruncated == true)
        }
        var notText = GGUFBuilder(keys: 1)
        notText.append(UInt64(2))
        notText.bytes += [0xff, 0xfe]
        notText.append(GGUFValueType.bool.rawValue)
        notText.bytes += [1]
        #expect(refusal(notText.bytes)?.isMalformed("UTF-8") == true)
    }

    @Test func textsThatAreNotTextFailWhenAskedFor() throws {
        var builder = GGUFBuilder(keys: 1)
        builder.key("k", .string)
        builder.append(UInt64(1))
        builder.bytes += [0xff]
        let file = try open(builder.bytes)
        #expect(throws: GGUFError.self) { try file.metadata.string("k") }
    }

    @Test func truthValuesOtherThanZeroAndOneFailWhenAskedFor() throws {
        var builder = GGUFBuilder(keys: 1)
        builder.key("k", .bool)
        builder.bytes += [2]
        let file = try open(builder.bytes)
        #expect(throws: GGUFError.self) { try file.metadata.bool("k") }
    }

    @Test func arrayCounts() {
        for type: GGUFValueType in [.uint8, .uint64, .string, .array] {
            for count: UInt64 in [9, 1 << 61, 1 << 63, .max] {
                var builder = GGUFBuilder(keys: 1)
                builder.key("k", .array)
                builder.append(type.rawValue)
                builder.append(count)
                builder.bytes += Array(repeating: 0, count: 8)
                #expect(refusal(builder.bytes)?.isMalformed("elements") == true)
            }
        }
    }

    @Test func deepArrays() throws {
        func nested(_ depth: Int) -> [UInt8] {
            var builder = GGUFBuilder(keys: 1)
            builder.key("k", .array)
            for _ in 1..<depth {
                builder.append(GGUFValueType.array.rawValue)
                builder.append(UInt64(1))
            }
            builder.append(GGUFValueType.uint8.rawValue)
            builder.append(UInt64(0))
            return builder.bytes
        }
        #expect(throws: Never.self) { try open(nested(4)) }
        #expect(refusal(nested(5))?.isMalformed("deep") == true)
        #expect(refusal(nested(100_000))?.isMalformed("deep") == true)
    }

    @Test func unknownTypes() {
        var key = GGUFBuilder(keys: 1)
        key.append("k")
        key.append(UInt32(13))
        key.bytes += Array(repeating: 0, count: 16)
        #expect(refusal(key.bytes)?.isMalformed("unknown type 13") == true)
        for type: UInt32 in [4, 5, 31, 38, 99, .max] {
            var tensor = GGUFBuilder(tensors: 1)
            tensor.tensor("t", shape: [32], type: type)
            tensor.data(Array(repeating: 0, count: 1024))
            #expect(refusal(tensor.bytes)?.isMalformed("unknown type \(type)") == true)
        }
    }

    @Test func names() {
        var keys = GGUFBuilder(keys: 2)
        for _ in 0..<2 {
            keys.key("k", .uint8)
            keys.bytes += [0]
        }
        #expect(refusal(keys.bytes)?.isMalformed("twice") == true)
        var tensors = GGUFBuilder(tensors: 2)
        for _ in 0..<2 { tensors.tensor("t", shape: [1]) }
        tensors.data([0, 0, 0, 0])
        #expect(refusal(tensors.bytes)?.isMalformed("twice") == true)
    }

    @Test(arguments: [0, 1, 4, 12, 33, 1 << 31])
    func alignments(_ alignment: UInt32) {
        var builder = GGUFBuilder(keys: 1)
        builder.key("general.alignment", .uint32)
        builder.append(alignment)
        #expect(refusal(builder.bytes)?.isMalformed("alignment") == true)
    }

    @Test func shapes() {
        func file(_ shape: [UInt64], _ type: GGMLType = .f32) -> [UInt8] {
            var builder = GGUFBuilder(tensors: 1)
            builder.tensor("t", shape: shape, type: type.rawValue)
            builder.data(Array(repeating: 0, count: 256))
            return builder.bytes
        }
        #expect(throws: Never.self) { try open(file([8, 2, 2, 2])) }
        #expect(refusal(file([2, 2, 2, 2, 2]))?.isMalformed("dimensions") == true)
        #expect(refusal(file([8, 0]))?.isMalformed("dimension of 0") == true)
        #expect(refusal(file([1 << 63]))?.isMalformed("dimension of") == true)
        #expect(refusal(file([1 << 32, 1 << 32]))?.isMalformed("too large") == true)
        #expect(refusal(file([1 << 62]))?.isMalformed("too large") == true)
        #expect(refusal(file([33], .q4_1))?.isMalformed("whole blocks of 32") == true)
        #expect(refusal(file([128], .q6_K))?.isMalformed("whole blocks of 256") == true)
        #expect(refusal(file([65]))?.isTruncated == true)
    }

    @Test func offsets() {
        func file(_ offset: UInt64, data: Int = 64) -> [UInt8] {
            var builder = GGUFBuilder(tensors: 1)
            builder.tensor("t", shape: [8], offset: offset)
            builder.data(Array(repeating: 0, count: data))
            return builder.bytes
        }
        #expect(throws: Never.self) { try open(file(32)) }
        #expect(refusal(file(4))?.isMalformed("offset 4") == true)
        for offset: UInt64 in [64, 1 << 40, 1 << 63, .max - 31] { #expect(refusal(file(offset))?.isTruncated == true) }
        #expect(refusal(file(0, data: 31))?.isTruncated == true)
        // The file ends inside the description's padding.
        #expect(refusal(Array(file(0).prefix(GGUFBuilder().bytes.count + 37)))?.isTruncated == true)
    }

    @Test(arguments: ["metadata", "q4_1"])
    func everyTruncationIsRefused(_ name: String) throws {
        let bytes = try goldenBytes("\(name).gguf")
        let needed = try #require(open(bytes).tensors.last).bytes
        // The writer pads the end; all before the padding is needed.
        let end = bytes.count - (bytes.count - needed.count) % 32 - 32
        for length in 0..<end { #expect(throws: GGUFError.self) { try open(Array(bytes.prefix(length))) } }
    }

    @Test(arguments: ["metadata", "q8_0_random"])
    func mutatedFilesParseOrAreRefused(_ name: String) throws {
        let original = try goldenBytes("\(name).gguf")
        var random = SplitMix(state: 7)
        var parsed = 0
        var refused = 0
        for _ in 0..<3000 {
            var bytes = original
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] = [0, 1, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &random)].randomElement(
                    using: &random)!
            }
            do {
                try readEverything(open(bytes))
                parsed += 1
            } catch is GGUFError {
                refused += 1
            }
        }
        #expect(parsed > 100)
        #expect(refused > 100)
    }

    /// Asks for everything that a file offers, whatever it answers.
    private func readEverything(_ file: GGUFFile) throws {
        for key in file.metadata.keys {
            _ = try? file.metadata.string(key)
            _ = try? file.metadata.int(key)
            _ = try? file.metadata.float(key)
            _ = try? file.metadata.bool(key)
            _ = try? file.metadata.strings(key)
            _ = try? file.metadata.ints(key)
            _ = try? file.metadata.floats(key)
        }
        for tensor in file.tensors { _ = try? tensor.dequantized() }
    }
}
