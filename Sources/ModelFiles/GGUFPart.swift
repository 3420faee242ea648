// SPDX-License-Identifier: Apache-2.0
import Foundation

/// One file in GGUF format: a whole model, or a part of a split one.
struct GGUFPart {
    let file: MappedFile
    let version: Int
    let metadata: GGUFMetadata
    let tensors: [GGUFTensor]

    init(path: String) throws(GGUFError) {
        file = try MappedFile(path: path)
        var cursor = GGUFCursor(file: file)
        let header = try GGUFHeader(&cursor)
        version = header.version
        metadata = GGUFMetadata(file: file, values: try cursor.keyValues(header.keyCount))
        tensors = try cursor.tensors(header.tensorCount, alignment: metadata.alignment(path))
    }

    /// The parts of the model whose first part, or only file, is at `path`: parts lie in one folder and are called
    /// `NAME-00001-of-0000N.gguf` (the `split.…` keys of the format).
    static func all(path: String) throws(GGUFError) -> [GGUFPart] {
        let first = try GGUFPart(path: path)
        let count = try first.metadata.intIfPresent("split.count") ?? 1
        guard count > 1 else { return [first] }
        let names = try partNames(path, count: count)
        try first.check(index: 0, of: count, path: path)
        var parts = [first]
        for index in 1..<count {
            let part = try GGUFPart(path: names(index))
            try part.check(index: index, of: count, path: path)
            parts.append(part)
        }
        let tensors = parts.reduce(0) { $0 + $1.tensors.count }
        if let announced = try first.metadata.intIfPresent("split.tensors.count"), announced != tensors {
            throw malformed(path, "the model announces \(announced) tensors but its parts have \(tensors)")
        }
        return parts
    }

    private func check(index: Int, of count: Int, path: String) throws(GGUFError) {
        guard try metadata.int("split.count") == count, try metadata.int("split.no") == index else {
            throw Self.malformed(file.path, "this is not part \(index + 1) of \(count) of the model \(path)")
        }
    }

    /// The path of each part, from that of the first.
    private static func partNames(_ path: String, count: Int) throws(GGUFError) -> (Int) -> String {
        func ending(_ index: Int) -> String { String(format: "-%05d-of-%05d.gguf", index + 1, count) }
        guard path.hasSuffix(ending(0)) else {
            throw malformed(path, "the model has \(count) parts and this is not the first, …\(ending(0))")
        }
        let stem = path.dropLast(ending(0).count)
        return { stem + ending($0) }
    }

    private static func malformed(_ path: String, _ sentence: String) -> GGUFError {
        GGUFError(path: path, reason: .malformed(sentence))
    }
}
