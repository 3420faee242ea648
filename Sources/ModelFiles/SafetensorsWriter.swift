// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Writes tensors in the safetensors format, as fp32.
public enum SafetensorsWriter {
    /// A tensor to write.
    public struct Tensor: Sendable {
        /// Its name.
        public let name: String
        /// Its sizes, outermost first, as PyTorch has them.
        public let shape: [Int]
        /// Its values; the last dimension is contiguous.
        public let values: [Float]

        /// A tensor; there are as many values as the shape says.
        public init(name: String, shape: [Int], values: [Float]) {
            precondition(shape.reduce(1, *) == values.count, "shape and values do not fit")
            self.name = name
            self.shape = shape
            self.values = values
        }
    }

    private struct Entry: Encodable {
        let dtype: String
        let shape: [Int]
        let offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }

    /// The contents of a file that holds the tensors; the same tensors give the same bytes.
    ///
    /// - Throws: What the JSON encoder finds wrong with a name.
    public static func bytes(_ tensors: [Tensor]) throws -> Data {
        var entries: [String: Entry] = [:], end = 0
        for tensor in tensors {
            let start = end
            end += 4 * tensor.values.count
            entries[tensor.name] = Entry(dtype: "F32", shape: tensor.shape, offsets: [start, end])
        }
        precondition(entries.count == tensors.count, "two tensors have one name")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var header = try encoder.encode(entries)
        // Values start at a multiple of eight.
        header.append(contentsOf: Array(repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8))
        var data = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
        data.append(header)
        for tensor in tensors { tensor.values.withUnsafeBytes { data.append(contentsOf: $0) } }
        return data
    }
}
