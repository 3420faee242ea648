// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles
import SeededRandom
import Testing

@testable import Tokenization

/// The default model, which tests against the reference need.
struct TestModel {
    let file: GGUFFile
    let tokenizer: Tokenizer

    /// Opened once for all tests.
    private static let shared = Result { try TestModel() }

    static func load() throws -> TestModel { try shared.get() }

    private init() throws {
        let environment = ProcessInfo.processInfo.environment
        let path =
            environment["DELTAKV_TEST_MODEL"]
            ?? "\(NSHomeDirectory())/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
        try #require(
            FileManager.default.fileExists(atPath: path),
            "the default model is not at \(path); run ops/test, which fetches it, or set DELTAKV_TEST_MODEL")
        file = try GGUFFile(path: path)
        tokenizer = try Tokenizer(file: file)
    }
}

/// Reads one reference file from the folder beside the tests.
func goldenData(_ name: String) throws -> Data {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
    return try Data(contentsOf: folder.appendingPathComponent(name))
}

/// The texts of `lines.txt`.
func goldenLines() throws -> [String] {
    let lines = try goldenData("lines.txt").split(separator: 0x1e, omittingEmptySubsequences: false).dropLast()
    return lines.map { String(decoding: $0, as: UTF8.self) }
}

/// Reads little-endian integers one after another.
struct IntegerReader {
    let bytes: [UInt8]
    private(set) var offset = 0

    init(_ data: Data) { bytes = [UInt8](data) }

    var isAtEnd: Bool { offset == bytes.count }

    mutating func next<Value: FixedWidthInteger>(_: Value.Type) throws -> Value {
        let size = MemoryLayout<Value>.size
        try #require(offset + size <= bytes.count, "the reference file ends too early")
        defer { offset += size }
        return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }
}

extension SplitMix {
    /// A text of scalars from all planes.
    mutating func text(count: Int) -> String {
        var text = ""
        for _ in 0..<count {
            let bound = [0x80, 0x800, 0x10000, 0x110000].randomElement(using: &self)!
            text.unicodeScalars.append(Unicode.Scalar(UInt32.random(in: 0..<UInt32(bound), using: &self)) ?? "?")
        }
        return text
    }
}
