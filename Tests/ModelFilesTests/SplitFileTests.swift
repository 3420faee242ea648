// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import ModelFiles

/// A model in three files, written by the `gguf` package: the first has keys only, the second two tensors.
@Suite final class SplitFileTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for part in 1...3 { try goldenBytes(name(part)).write(folder, name(part)) }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func name(_ part: Int) -> String { "split-0000\(part)-of-00003.gguf" }

    private func refusal(_ part: Int = 1, _ location: SourceLocation = #_sourceLocation) -> GGUFError? {
        #expect(throws: GGUFError.self, sourceLocation: location) {
            try GGUFFile(path: folder.appendingPathComponent(name(part)).path)
        }
    }

    @Test func partsAreOneModel() throws {
        let file = try GGUFFile(path: folder.appendingPathComponent(name(1)).path)
        #expect(try file.metadata.string("test.text") == "in parts")
        #expect(file.tensors.map(\.name) == ["t0", "t1", "t2"])
        #expect(file.size == (try (1...3).reduce(0) { try $0 + goldenBytes(name($1)).count }))
        let first = try file.tensor(named: "t0").dequantized(), last = try file.tensor(named: "t2").dequantized()
        #expect(zip(first, last).allSatisfy { abs($1 - $0 - 2) < 1e-6 } && first.count == 768)
        #expect(file.digest().count == 64)
    }

    @Test func aMissingPartIsNamed() throws {
        try FileManager.default.removeItem(at: folder.appendingPathComponent(name(3)))
        #expect(refusal()?.path.hasSuffix(name(3)) == true)
    }

    @Test func partsThatAreOthers() throws {
        try goldenBytes(name(3)).write(folder, name(2))
        #expect(refusal()?.description.contains("part 2 of 3") == true)
        try goldenBytes("q4_1.gguf").write(folder, name(2))
        #expect(refusal()?.reason == .missingKey("split.count"))
        // Cut at its end, the part's data is missing.
        try Array(goldenBytes(name(2)).dropLast(64)).write(folder, name(2))
        #expect(refusal()?.description.contains("truncated") == true)
    }

    @Test func anotherPartThanTheFirstIsRefused() {
        #expect(refusal(2)?.description.contains("not the first") == true)
    }

    /// Counts that lie are refused by the name, or at the first part that is not there.
    @Test(arguments: [2, 4, 9999, UInt16.max]) func lyingCounts(_ count: UInt16) throws {
        var bytes = try goldenBytes(name(1))
        let key = Array("split.count".utf8)
        let start = try #require(bytes.indices.first { bytes[$0...].starts(with: key) }) + key.count + 4
        bytes[start] = UInt8(count & 255)
        bytes[start + 1] = UInt8(count >> 8)
        try bytes.write(folder, name(1))
        #expect(refusal() != nil)
    }
}

extension [UInt8] {
    fileprivate func write(_ folder: URL, _ name: String) throws {
        try Data(self).write(to: folder.appendingPathComponent(name))
    }
}
