// SPDX-License-Identifier: Apache-2.0
import Foundation

@testable import ModelFiles

/// Writes GGUF files byte by byte, truthful or lying.
struct GGUFBuilder {
    var bytes: [UInt8] = []

    /// A header with the counts that are to follow, or with counts that lie.
    init(version: UInt32 = 3, tensors: UInt64 = 0, keys: UInt64 = 0, magic: String = "GGUF") {
        bytes += Array(magic.utf8)
        append(version)
        append(tensors)
        append(keys)
    }

    mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        bytes += Array(text.utf8)
    }

    mutating func key(_ name: String, _ type: GGUFValueType) {
        append(name)
        append(type.rawValue)
    }

    mutating func tensor(_ name: String, shape: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
        append(name)
        append(UInt32(shape.count))
        for size in shape { append(size) }
        append(type)
        append(offset)
    }

    /// Pads to the alignment and adds the data.
    mutating func data(_ content: [UInt8], alignment: Int = 32) {
        bytes += Array(repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
        bytes += content
    }
}

/// Where tests put short-lived files: in memory where the machine offers that, because they make thousands.
let scratch =
    FileManager.default.isWritableFile(atPath: "/dev/shm")
    ? URL(fileURLWithPath: "/dev/shm") : FileManager.default.temporaryDirectory

/// Opens bytes as a file, which is gone again when this returns: a mapping outlives its name.
func open(_ bytes: [UInt8]) throws -> GGUFFile {
    let url = scratch.appendingPathComponent("deltakv-\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: url) }
    try Data(bytes).write(to: url)
    return try GGUFFile(path: url.path)
}

/// The folder of reference files beside the tests.
let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")

/// Reads one reference file.
func goldenBytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: golden.appendingPathComponent(name)))
}
