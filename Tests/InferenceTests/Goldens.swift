// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What the reference implementation computed for one prompt; see Golden/make_goldens.py for the file's format.
struct Golden: Sendable {
    let prompt: [Int32]
    let greedy: [Int32]
    let lastLogits: [Float]
    let positions: [Int32]
    let entries: [Int32]
    /// [positions][entries]
    let sample: [Float]

    static func all() throws -> [Golden] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "Golden/goldens.bin")
        var reader = Reader(data: try Data(contentsOf: file))
        guard try reader.int() == 0x3147_4b44 else { throw Malformed() }
        let vocabulary = Int(try reader.int())
        return try (0..<reader.int()).map { _ in
            let prompt = try reader.list(), greedy = try reader.list()
            let last: [Float] = try reader.array(vocabulary)
            let positions = try reader.list(), entries = try reader.list()
            return Golden(
                prompt: prompt, greedy: greedy, lastLogits: last, positions: positions, entries: entries,
                sample: try reader.array(positions.count * entries.count))
        }
    }

    struct Malformed: Error {}

    private struct Reader {
        let data: Data
        var offset = 0

        mutating func array<Element>(_ count: Int) throws -> [Element] {
            let bytes = count * MemoryLayout<Element>.stride
            guard count >= 0, offset + bytes <= data.count else { throw Malformed() }
            defer { offset += bytes }
            return data.withUnsafeBytes { raw in
                (0..<count).map {
                    raw.loadUnaligned(fromByteOffset: offset + $0 * MemoryLayout<Element>.stride, as: Element.self)
                }
            }
        }

        mutating func int() throws -> Int32 { try array(1)[0] }

        mutating func list() throws -> [Int32] { try array(Int(int())) }
    }
}
