// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import ModelFiles

@Suite struct WritingTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "deltakv-writing-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try body(folder)
    }

    private func write(_ bytes: [UInt8], _ path: String) throws {
        try bytes.withUnsafeBytes { try DurableFile.write($0, to: path) }
    }

    @Test func filesAreReplacedWhole() throws {
        try withFolder { folder in
            let path = folder + "/a"
            for bytes in [[1, 2, 3], [], Array(repeating: UInt8(7), count: 3_000_000)] as [[UInt8]] {
                try write(bytes, path)
                #expect(try Array(Data(contentsOf: URL(fileURLWithPath: path))) == bytes)
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
            }
        }
    }

    @Test func failuresNameThePathAndLeaveNothing() throws {
        try withFolder { folder in
            #expect(throws: DurableFile.Failure.self) { try write([1], folder + "/no/a") }
            // A folder stands in the way.
            try FileManager.default.createDirectory(atPath: folder + "/a/b", withIntermediateDirectories: true)
            #expect(throws: DurableFile.Failure(path: folder + "/a", code: EISDIR)) { try write([1], folder + "/a") }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
            #expect(throws: DurableFile.Failure(path: folder + "/x", code: ENOENT)) {
                try DurableFile.synchronize(folder: folder + "/x")
            }
            #expect("\(DurableFile.Failure(path: "/p", code: ENOSPC))" == "/p: No space left on device")
        }
    }

    @Test func tensorsComeBack() throws {
        try withFolder { folder in
            let a = (0..<6).map { Float($0) / 7 }, b: [Float] = [.pi]
            let data = try SafetensorsWriter.bytes([
                .init(name: "z/\"odd\".weight", shape: [2, 3], values: a), .init(name: "b", shape: [1], values: b),
            ])
            try write(Array(data), folder + "/some.safetensors")
            try Data("{\"x\": 1}".utf8).write(to: URL(fileURLWithPath: folder + "/config.json"))
            let found = try TensorFolder(path: folder)
            #expect(found.configuration?["x"]?.int == 1 && found.files == [folder + "/some.safetensors"])
            let byName = Dictionary(uniqueKeysWithValues: found.tensors.map { ($0.name, $0) })
            #expect(try byName["z/\"odd\".weight"]?.dequantized() == a && byName["b"]?.dequantized() == b)
            #expect(byName["z/\"odd\".weight"]?.shape == [3, 2])
            // The same tensor in two files belongs to neither.
            try write(Array(data), folder + "/other.safetensors")
            #expect(throws: GGUFError.self) { try TensorFolder(path: folder) }
            let alone = try TensorFolder(path: folder + "/other.safetensors")
            #expect(alone.configuration == nil && alone.tensors.count == 2)
        }
    }
}
